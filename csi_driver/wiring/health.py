"""Answers Kubernetes' probes over HTTP: from the event loop itself, so that an answer proves that it turns."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from csi_driver.errors import InternalError
from csi_driver.wiring import listen as addresses

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for a request to arrive."""
LIMIT = 8192
"""Bytes of a request line, or of one header."""


class HealthPart:
    """``/healthz`` is 200, ``/readyz`` 200 or 503 as ``ready`` says, which is asked from memory and may not raise.

    ``address`` is ``address:port``, IPv6 in brackets; empty: nowhere.
    """

    def __init__(self, address: str, ready: Callable[[], bool]) -> None:
        """Raises InvalidRequest when ``address`` is none."""
        self._listen = addresses.parse("health", address) if address else None
        self._ready = ready
        self._server: asyncio.Server | None = None
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    @property
    def port(self) -> int:
        """Where it listens, once it does; 0 before."""
        return self._server.sockets[0].getsockname()[1] if self._server else 0

    async def start(self) -> None:
        """Serve. InternalError when the address is taken."""
        if self._listen is None:
            return
        address, port = self._listen
        try:
            self._server = await asyncio.start_server(self._serve, address, port, limit=LIMIT)
        except OSError as error:
            raise InternalError(f"health cannot be served on {address} port {port}: {error.strerror}") from error

    async def quiesce(self) -> None:
        """A process that is ending is alive, and kubelet must not be led to believe that it is not."""

    async def close(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(PATIENCE):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        writer.close()

    def _answer(self, head: bytes) -> bytes:
        """One answer, and the connection ends: probes make a new one each time."""
        status = self._status(head.split(b"\r\n", 1)[0].split()[:2])
        body = status.partition(" ")[2] + "\n"
        headers = f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close"
        return f"HTTP/1.1 {status}\r\n{headers}\r\n\r\n{body}".encode()

    def _status(self, request: list[bytes]) -> str:
        match request:
            case [b"GET", b"/healthz"]:
                return "200 OK"
            case [b"GET", b"/readyz"]:
                return "200 OK" if self._ready() else "503 Service Unavailable"
            case [b"GET", _]:
                return "404 Not Found"
            case _:
                return "405 Method Not Allowed"
