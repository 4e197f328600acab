"""What a process measures about itself, and who may read it."""

from __future__ import annotations

import asyncio
from threading import Thread
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from csi_driver.errors import InternalError
from csi_driver.wiring import listen as addresses


class MetricsPart:
    """The registry, and ``/metrics`` over HTTP on ``listen`` (``address:port``, IPv6 in brackets; empty: nowhere)."""

    def __init__(self, listen: str) -> None:
        """Raises InvalidRequest when ``listen`` is no address."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._listen = addresses.parse("metrics", listen) if listen else None
        self._serving: tuple[WSGIServer, Thread] | None = None
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Serve, in a thread. InternalError when the address is taken."""
        if self._listen is None:
            return
        address, port = self._listen
        try:
            self._serving = start_http_server(port, address, self.registry)
        except OSError as error:
            raise InternalError(f"metrics cannot be served on {address} port {port}: {error.strerror}") from error

    async def quiesce(self) -> None:
        """The end is measured as well."""

    async def close(self) -> None:
        """Serve no more."""
        if self._serving is not None:
            server, thread = self._serving
            server.shutdown()
            server.server_close()
            thread.join()
