"""A node process's registration with the kubelet of its host."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from csi_driver.errors import DriverError
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.registration import RegistrationServer
from csi_driver.settings import KubeletSettings


class RegistrationPart:
    """Serves kubelet's registration, if the settings say where. A refusal ends the process."""

    def __init__(self, settings: KubeletSettings, metrics: RpcMetrics) -> None:
        """Raises InvalidRequest for paths that cannot be."""
        self._server = RegistrationServer(settings, metrics) if settings.registration_socket else None
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def registered(self) -> bool:
        """Whether kubelet has taken us, or is none of our business."""
        return self._server is None or self._server.registered

    async def start(self) -> None:
        """Serve; kubelet comes when it sees the socket."""
        if self._server is not None:
            await self._server.start()
            self.tasks = (asyncio.create_task(self._server.refusal(), name="registration with kubelet"),)

    async def quiesce(self) -> None:
        """Not waiting for kubelet's verdict any more."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, DriverError):
                await task

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            await self._server.stop()
