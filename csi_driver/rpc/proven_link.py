"""The connection to an agent that has made its own key: proven once, then held to that very certificate.

The agent shows a certificate that nobody has signed. Over a connection that takes this one alone, it is asked for
the token of its pod (``Prove``) and for nothing else; when the token is found to be of that node, the certificate is
as good as the node's name, and every further connection insists on it. A thief of another node's key, or of another
node's token, has not both. The token goes to nobody but a controller: agents let in none but the CA's clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from grpc import aio

from csi_driver.errors import DriverError, InvalidRequest, Unavailable
from csi_driver.rpc import tls
from csi_driver.rpc.agent_link import channel_options
from csi_driver.rpc.gen import agent_pb2 as pb
from csi_driver.rpc.gen.agent_pb2_grpc import AgentStub
from csi_driver.rpc.peers import agent_dns
from csi_driver.settings import TlsSettings

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds for the agent to hand over its token."""

Check = Callable[[str, str], Awaitable[None]]
"""Given a node and a token: raises a DriverError unless the one proves the other."""


class ProvenLink:
    """Implements ``agent_link.Link``. ``check`` judges tokens."""

    def __init__(
        self, node: str, address: str, settings: TlsSettings, check: Check, *, linger: float, notice: float
    ) -> None:
        self._node, self._address, self._tls, self._check, self._linger = node, address, settings, check, linger
        self._options = channel_options(node, notice)
        self._pinned: tuple[tls.Stamp, bytes] | None = None
        self._channel: aio.Channel | None = None
        self._doubted = self._closed = False
        self._attempt: asyncio.Task[aio.Channel] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def channel(self) -> aio.Channel:
        """A channel to the proven agent. Raises Unavailable, saying why, when it is not proven now."""
        if self._channel is not None and not self._doubted and self._same_files():
            return self._channel
        if self._closed:
            raise Unavailable(f"the agent of node {self._node} is no longer called at {self._address}")
        if self._attempt is None or self._attempt.done():
            self._attempt = asyncio.create_task(self._prove(), name=f"prove {self._node}")
        # All who wait share one attempt, and none ends it for the others.
        attempt = self._attempt
        await asyncio.wait({attempt})
        return self._outcome(attempt)

    def _outcome(self, attempt: asyncio.Task[aio.Channel]) -> aio.Channel:
        where = f"the agent of node {self._node} at {self._address}"
        try:
            return attempt.result()
        except asyncio.CancelledError as error:  # by ``close``: it is not the waiter who was cancelled
            raise Unavailable(f"{where} is no longer called") from error
        except (OSError, aio.AioRpcError, DriverError) as error:
            text = error.details() if isinstance(error, aio.AioRpcError) else str(error)
            raise Unavailable(f"{where} is not proven: {text or type(error).__name__}") from error

    def doubt(self) -> None:
        """A call did not get through: the agent may have been started anew, with a new key."""
        self._doubted = True

    async def close(self) -> None:
        """End every call, and make no connection again."""
        self._closed = True
        waiting = [*self._closing, *([self._attempt] if self._attempt else [])]
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._channel is not None:
            await self._channel.close()
            self._channel = None

    def _same_files(self) -> bool:
        """Whether our own certificate is still the one in use; also when it cannot be read just now."""
        try:
            return self._pinned is not None and tls.stamp(self._tls) == self._pinned[0]
        except InvalidRequest as error:
            log.warning("certificates could not be read again", extra={"error": str(error)})
            return True

    async def _prove(self) -> aio.Channel:
        host, _, port = self._address.rpartition(":")
        stamp = tls.stamp(self._tls)
        shown = await tls.shown_certificate(self._tls, host.strip("[]"), int(port), agent_dns(self._node))
        if self._channel is not None and self._pinned == (stamp, shown):
            self._doubted = False
            return self._channel
        fresh = aio.secure_channel(self._address, tls.pinned_credentials(self._tls, shown), options=self._options)
        try:
            proof = await AgentStub(fresh).Prove(pb.ProveRequest(), timeout=PATIENCE)
            await self._check(self._node, proof.token)
        except BaseException:
            await fresh.close()
            raise
        log.info("agent proven", extra={"node": self._node, "address": self._address})
        self._retire(self._channel)
        self._channel, self._pinned, self._doubted = fresh, (stamp, shown), False
        return fresh

    def _retire(self, channel: aio.Channel | None) -> None:
        if channel is not None:
            task = asyncio.create_task(channel.close(self._linger))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
