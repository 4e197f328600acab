"""The Agent service over mTLS: the only way in to a storage node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from grpc import aio

from csi_driver.errors import Denied, InternalError, Unavailable, Unsupported
from csi_driver.fleet.port import AgentPort
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc import agent_convert as convert
from csi_driver.rpc import inventory_convert, register, tls
from csi_driver.rpc.gen import agent_pb2 as pb
from csi_driver.rpc.interceptor import Context, Interceptor
from csi_driver.rpc.peers import CONTROLLER_URI
from csi_driver.settings import TlsSettings, read_pools

HEARTBEAT = 3.0
"""Seconds of silence in the inventory after which an empty change is sent."""

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second agent on this address must fail, not take half of the calls
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
)


class AgentServicer:
    """The verbs, each one conversion in, one call, one conversion out."""

    def __init__(self, agent: AgentPort, *, token: Path | None = None, heartbeat: float = HEARTBEAT) -> None:
        self._agent, self._token, self._heartbeat = agent, token, heartbeat
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End the inventory streams: nothing else of a server runs for ever."""
        self._stopping.set()

    async def Prove(self, request: pb.ProveRequest, context: Context) -> pb.Proof:
        if self._token is None:
            raise Unsupported("this agent has no token: it is known by a certificate of the CA")
        return pb.Proof(token=_read(self._token))

    async def Describe(self, request: pb.DescribeRequest, context: Context) -> pb.AgentInfo:
        return inventory_convert.info_to(await self._agent.describe())

    async def Watch(self, request: pb.WatchRequest, context: Context) -> AsyncGenerator[pb.Change, None]:
        changes = self._agent.watch()
        stopping = asyncio.ensure_future(self._stopping.wait())
        coming = asyncio.ensure_future(anext(changes, None))
        try:
            while True:
                await asyncio.wait({coming, stopping}, timeout=self._heartbeat, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    raise Unavailable("this agent is stopping")
                if not coming.done():
                    yield pb.Change()
                    continue
                change = coming.result()
                if change is None:  # the agent gave this watcher up: it has to begin anew
                    return
                coming = asyncio.ensure_future(anext(changes, None))
                yield inventory_convert.change_to(change)
        finally:
            await _end(coming, stopping)
            if isinstance(changes, AsyncGenerator):
                await changes.aclose()

    async def ChoosePools(self, request: pb.PoolChoice, context: Context) -> pb.Done:
        await self._agent.choose_pools(read_pools(request.pools, "pools"))
        return pb.Done()

    async def Find(self, request: pb.FindRequest, context: Context) -> pb.FindResponse:
        return pb.FindResponse(volumes=map(convert.volume_to, await self._agent.find(request.key)))

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> pb.Volume:
        return convert.volume_to(await self._agent.claim(convert.spec_from(request.spec)))

    async def Commit(self, request: pb.VolumeRef, context: Context) -> pb.Volume:
        return convert.volume_to(await self._agent.commit(convert.id_from(request.id)))

    async def Drop(self, request: pb.VolumeRef, context: Context) -> pb.Done:
        await self._agent.drop(convert.id_from(request.id))
        return pb.Done()

    async def Get(self, request: pb.VolumeRef, context: Context) -> pb.Volume:
        return convert.volume_to(await self._agent.get(convert.id_from(request.id)))

    async def Delete(self, request: pb.VolumeRef, context: Context) -> pb.Done:
        await self._agent.delete(convert.id_from(request.id))
        return pb.Done()

    async def Extend(self, request: pb.ExtendRequest, context: Context) -> pb.Volume:
        return convert.volume_to(await self._agent.extend(convert.id_from(request.id), request.size))

    async def Cut(self, request: pb.SnapshotSpec, context: Context) -> pb.Snapshot:
        return convert.snapshot_to(await self._agent.cut(convert.cut_from(request)))

    async def FindSnapshots(self, request: pb.FindRequest, context: Context) -> pb.SnapshotList:
        found = await self._agent.find_snapshots(request.key)
        return pb.SnapshotList(snapshots=map(convert.snapshot_to, found))

    async def GetSnapshot(self, request: pb.SnapshotRef, context: Context) -> pb.Snapshot:
        return convert.snapshot_to(await self._agent.get_snapshot(convert.snapshot_id_from(request.id)))

    async def DeleteSnapshot(self, request: pb.SnapshotRef, context: Context) -> pb.Done:
        await self._agent.delete_snapshot(convert.snapshot_id_from(request.id))
        return pb.Done()

    async def Publish(self, request: pb.PublishRequest, context: Context) -> pb.Publication:
        return convert.publication_to(await self._agent.publish(convert.order_from(request)))

    async def Unpublish(self, request: pb.UnpublishRequest, context: Context) -> pb.Unpublished:
        return pb.Unpublished(number=await self._agent.unpublish(convert.id_from(request.id), request.node))

    async def Publications(self, request: pb.VolumeRef, context: Context) -> pb.PublicationList:
        refs = await self._agent.publications(convert.id_from(request.id))
        return pb.PublicationList(publications=map(inventory_convert.ref_to, refs))

    async def Hold(self, request: pb.Attachment, context: Context) -> pb.Done:
        await self._agent.hold(convert.attachment_from(request))
        return pb.Done()

    async def Release(self, request: pb.ReleaseRequest, context: Context) -> pb.Done:
        await self._agent.release(convert.id_from(request.id), request.number)
        return pb.Done()


class AgentServer:
    """Serves one agent on ``listen`` (``address:port``; port 0 takes a free one). ``token`` is the file of the token
    that it proves its node by, if it does so.
    """

    def __init__(
        self,
        agent: AgentPort,
        *,
        listen: str,
        tls_settings: TlsSettings,
        metrics: RpcMetrics,
        token: Path | None = None,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._listen, self._tls = listen, tls_settings
        self._servicer = AgentServicer(agent, token=token, heartbeat=heartbeat)
        interceptor = Interceptor(metrics, checks=(require_controller,), tells_kind=True)
        self._server = aio.server(interceptors=(interceptor,), options=_OPTIONS)
        service = pb.DESCRIPTOR.services_by_name["Agent"]
        self._server.add_generic_rpc_handlers((register.handler(service, self._servicer),))

    async def start(self) -> int:
        """Serve; returns the port. InvalidRequest without certificates, InternalError when the address is taken."""
        try:
            port = self._server.add_secure_port(self._listen, tls.server_credentials(self._tls))
        except RuntimeError as error:
            raise InternalError(f"the Agent service cannot listen on {self._listen}: {error}") from error
        await self._server.start()
        return port

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give those that run ``grace`` seconds to be answered. Their jobs go on."""
        self._servicer.stop()
        await self._server.stop(grace)


def require_controller(_request: Message, context: Context) -> None:
    """Raise Denied unless the caller's certificate has the role ``controller``."""
    uris = [uri.decode(errors="replace") for uri in context.auth_context().get("peer_uri", ())]
    if CONTROLLER_URI not in uris:
        holder = ", ".join(uris) or "a certificate without a role"
        raise Denied(f"agents obey the role controller only ({CONTROLLER_URI}); this call came from {holder}")


def _read(token: Path) -> str:
    """Read each time: kubelet writes a new one before the old one ends."""
    try:
        return token.read_text().strip()
    except OSError as error:
        raise InternalError(f"the token cannot be read: {token}: {error.strerror}") from error


async def _end(*waits: asyncio.Future[Any]) -> None:
    for wait in waits:
        wait.cancel()
    await asyncio.wait(waits)
