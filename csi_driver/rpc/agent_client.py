"""One node's agent over mTLS, as the controller sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

from google.protobuf.message import Message
from grpc import ChannelConnectivity, StatusCode, aio

from csi_driver.errors import DriverError, InvalidRequest, Kind, StillWorking, Unavailable, by_kind
from csi_driver.kit import deadline
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.publication import Attachment, Publication, PublishRequest
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Volume, VolumeSpec
from csi_driver.rpc import agent_convert as convert
from csi_driver.rpc import inventory_convert
from csi_driver.rpc.agent_link import NOTICE, AgentLink, Link
from csi_driver.rpc.gen import agent_pb2 as pb
from csi_driver.rpc.gen.agent_pb2_grpc import AgentStub
from csi_driver.rpc.interceptor import KIND_KEY
from csi_driver.rpc.proven_link import Check, ProvenLink
from csi_driver.settings import PoolSettings, TlsSettings, show_pools

PATIENCE = 60.0
"""Seconds to wait for an answer when the caller set no limit: a host may be up and its agent hang."""
SILENCE = 15.0
"""Seconds without a sign of life, several heartbeats, after which an inventory stream is given up."""

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
T = TypeVar("T")


class AgentClient:
    """Implements ``fleet.port.AgentPort`` for the agent of ``node`` at ``address`` (``host:port``).

    The connection is made at the first call and again whenever it is lost. The server must prove to be the agent
    of that very node: by a certificate of the CA or, with ``check``, by a token. What does not come from the agent
    itself (no connection, no such verb, an answer that this version cannot read) is Unavailable: it says nothing
    about the volume.
    """

    def __init__(
        self,
        node: str,
        address: str,
        tls: TlsSettings,
        *,
        silence: float = SILENCE,
        notice: float = NOTICE,
        effects: Effects | None = None,
        check: Check | None = None,
    ) -> None:
        self.effects = effects or Effects()
        self.node, self.address, self._silence = node, address, silence
        self._link: Link = (
            AgentLink(node, address, tls, linger=PATIENCE, notice=notice)
            if check is None
            else ProvenLink(node, address, tls, check, linger=PATIENCE, notice=notice)
        )

    async def close(self) -> None:
        """Give up the connection and every call on it."""
        await self._link.close()

    async def describe(self) -> AgentInfo:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.Describe, pb.DescribeRequest(), inventory_convert.info_from)

    async def watch(self) -> AsyncGenerator[Change, None]:
        """See ``AgentPort``. Ends with Unavailable when the connection or the agent's heartbeat is lost."""
        channel = await self._link.channel()
        call = AgentStub(channel).Watch(pb.WatchRequest())
        try:
            while True:
                async with asyncio.timeout(self._silence):
                    message = await call.read()
                if not isinstance(message, pb.Change):
                    raise Unavailable(f"the agent of node {self.node} ended its inventory")
                yield self._read(inventory_convert.change_from, message)
                if await self._link.channel() is not channel:
                    raise Unavailable(f"certificates were renewed: connecting to node {self.node} anew")
        except TimeoutError as error:
            raise Unavailable(f"no sign of life from the agent of node {self.node}") from error
        except aio.AioRpcError as error:
            raise self._meaning(error, channel) from error
        finally:
            call.cancel()

    @effect("agent.choose_pools")
    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        """See ``AgentPort``."""
        await self._call(lambda stub: stub.ChoosePools, pb.PoolChoice(pools=show_pools(pools)), _nothing)

    async def find(self, key: str) -> tuple[Volume, ...]:
        """See ``AgentPort``."""
        return await self._call(
            lambda stub: stub.Find,
            pb.FindRequest(key=key),
            lambda answer: tuple(map(convert.volume_from, answer.volumes)),
        )

    @effect("agent.claim")
    async def claim(self, spec: VolumeSpec) -> Volume:
        """See ``AgentPort``."""
        request = pb.ClaimRequest(spec=convert.spec_to(spec))
        return await self._call(lambda stub: stub.Claim, request, convert.volume_from)

    @effect("agent.commit")
    async def commit(self, volume: VolumeId) -> Volume:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.Commit, _ref(volume), convert.volume_from)

    @effect("agent.drop")
    async def drop(self, volume: VolumeId) -> None:
        """See ``AgentPort``."""
        await self._call(lambda stub: stub.Drop, _ref(volume), _nothing)

    async def get(self, volume: VolumeId) -> Volume:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.Get, _ref(volume), convert.volume_from)

    @effect("agent.delete")
    async def delete(self, volume: VolumeId) -> None:
        """See ``AgentPort``."""
        await self._call(lambda stub: stub.Delete, _ref(volume), _nothing)

    @effect("agent.extend")
    async def extend(self, volume: VolumeId, size: int) -> Volume:
        """See ``AgentPort``."""
        request = pb.ExtendRequest(id=str(volume), size=size)
        return await self._call(lambda stub: stub.Extend, request, convert.volume_from)

    @effect("agent.cut")
    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.Cut, convert.cut_to(spec), convert.snapshot_from)

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        """See ``AgentPort``."""
        return await self._call(
            lambda stub: stub.FindSnapshots,
            pb.FindRequest(key=key),
            lambda answer: tuple(map(convert.snapshot_from, answer.snapshots)),
        )

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.GetSnapshot, pb.SnapshotRef(id=str(identity)), convert.snapshot_from)

    @effect("agent.delete_snapshot")
    async def delete_snapshot(self, identity: SnapshotId) -> None:
        """See ``AgentPort``."""
        await self._call(lambda stub: stub.DeleteSnapshot, pb.SnapshotRef(id=str(identity)), _nothing)

    @effect("agent.publish")
    async def publish(self, request: PublishRequest) -> Publication:
        """See ``AgentPort``."""
        return await self._call(lambda stub: stub.Publish, convert.order_to(request), convert.publication_from)

    @effect("agent.unpublish")
    async def unpublish(self, volume: VolumeId, node: str) -> int:
        """See ``AgentPort``."""
        request = pb.UnpublishRequest(id=str(volume), node=node)
        return await self._call(lambda stub: stub.Unpublish, request, lambda answer: answer.number)

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        """See ``AgentPort``."""
        return await self._call(
            lambda stub: stub.Publications,
            _ref(volume),
            lambda answer: tuple(map(inventory_convert.ref_from, answer.publications)),
        )

    @effect("agent.hold")
    async def hold(self, attachment: Attachment) -> None:
        """See ``AgentPort``."""
        await self._call(lambda stub: stub.Hold, convert.attachment_to(attachment), _nothing)

    @effect("agent.release")
    async def release(self, volume: VolumeId, number: int) -> None:
        """See ``AgentPort``."""
        request = pb.ReleaseRequest(id=str(volume), number=number)
        await self._call(lambda stub: stub.Release, request, _nothing)

    async def _call(
        self,
        method: Callable[[AgentStub], aio.UnaryUnaryMultiCallable[Q, A]],
        request: Q,
        read: Callable[[A], T],
    ) -> T:
        channel = await self._connected()
        limit = deadline.remaining()
        try:
            answer = await method(AgentStub(channel))(request, timeout=PATIENCE if limit is None else limit)
        except aio.AioRpcError as error:
            raise self._meaning(error, channel) from error
        return self._read(read, answer)

    async def _connected(self) -> aio.Channel:
        try:
            async with asyncio.timeout(deadline.remaining()):
                return await self._link.channel()
        except TimeoutError as error:
            raise Unavailable(f"the agent of node {self.node} at {self.address} has not answered in time") from error

    def _read(self, read: Callable[[A], T], answer: A) -> T:
        try:
            return read(answer)
        except InvalidRequest as error:
            raise Unavailable(f"the agent of node {self.node} answers in a newer language: {error}") from error

    def _meaning(self, error: aio.AioRpcError, channel: aio.Channel) -> DriverError:
        kind = _kind(error)
        text = error.details() or error.code().name
        if kind is not None:
            return by_kind(kind)(text)
        if error.code() is StatusCode.UNAVAILABLE:
            self._link.doubt()
        if error.code() is StatusCode.UNIMPLEMENTED:
            return Unavailable(f"the agent of node {self.node} is too old for this: {text}")
        # Without a connection the call has not even arrived, let alone goes on.
        if error.code() is StatusCode.DEADLINE_EXCEEDED and channel.get_state() is ChannelConnectivity.READY:
            return StillWorking(f"the agent of node {self.node} has not finished yet; ask again")
        return Unavailable(f"the agent of node {self.node} at {self.address} does not answer: {text}")


def _kind(error: aio.AioRpcError) -> Kind | None:
    """The kind that our own server told; None when the error comes from anyone else, or from a newer one."""
    for key, value in error.trailing_metadata() or ():
        if key == KIND_KEY:
            try:
                return Kind(str(value))
            except ValueError:
                return None
    return None


def _ref(volume: VolumeId) -> pb.VolumeRef:
    return pb.VolumeRef(id=str(volume))


def _nothing(answer: pb.Done) -> None:
    """Nothing is told by an answer that says only that it is done."""
