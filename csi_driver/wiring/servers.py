"""The parts of a process that others call."""

from __future__ import annotations

import asyncio
from pathlib import Path

from csi_driver.fleet.port import AgentPort
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.agent_server import AgentServer
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.settings import TlsSettings
from csi_driver.wiring.process import GRACE


class CsiPart:
    """The CSI server of a process."""

    def __init__(self, server: CsiServer) -> None:
        self._server = server
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """See ``CsiServer.start``."""
        await self._server.start()

    async def quiesce(self) -> None:
        """Take no more calls."""
        await self._server.stop(GRACE)

    async def close(self) -> None:
        """It is closed already."""


class AgentServerPart:
    """The Agent service of a node process."""

    def __init__(
        self, agent: AgentPort, listen: str, tls: TlsSettings, *, token: Path | None, metrics: RpcMetrics
    ) -> None:
        self._server = AgentServer(agent, listen=listen, tls_settings=tls, token=token, metrics=metrics)
        self.serving = False
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """See ``AgentServer.start``."""
        await self._server.start()
        self.serving = True

    async def quiesce(self) -> None:
        """Take no more calls."""
        await self._server.stop(GRACE)

    async def close(self) -> None:
        """It is closed already."""
