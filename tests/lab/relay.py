"""Forwards Unix sockets of the machine into the lab's network, a TCP connection for each one accepted."""

from __future__ import annotations

import asyncio
import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.guest import wire

CHUNK = 1 << 16
CONNECT_LIMIT = 5.0
"""Seconds to reach a host and to be let through to its socket."""


@dataclass
class Relay:
    """All forwarded sockets of one host; a connection that can't be made is closed at once."""

    address: str
    port: int
    _servers: list[asyncio.Server] = field(default_factory=list)
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self, path: Path, request: wire.Header | None, mode: int, owner: int) -> None:
        """Accept on `path`; with a `request` the agent is asked first, and joins the rest to its answer."""

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            try:
                await self._serve(reader, writer, request)
            finally:
                self._open.discard(task)

        server = await asyncio.start_unix_server(accepted, path, limit=CHUNK, backlog=256)
        os.chown(path, owner, -1)
        path.chmod(mode)
        self._servers.append(server)

    def drop(self) -> None:
        """Break every connection: the host is gone, and would not say so itself."""
        for task in list(self._open):
            task.cancel()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: wire.Header | None
    ) -> None:
        far_writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                far_reader, far_writer = await asyncio.open_connection(self.address, self.port, limit=CHUNK)
                if request is not None:
                    await _ask(far_reader, far_writer, request)
            await _join(reader, writer, far_reader, far_writer)
        except (OSError, TimeoutError, wire.WireError):
            pass  # the caller sees its connection closed, as it would without a relay
        finally:
            for end in (writer, far_writer):
                if end is not None:
                    _abort(end)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: wire.Header) -> None:
    writer.write(wire.encode(request))
    answer = await reader.readline()
    if not answer.endswith(b"\n") or b'"error"' in answer:
        raise wire.WireError(answer.decode(errors="replace"))


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    async with asyncio.TaskGroup() as both:
        both.create_task(_pump(reader, far_writer))
        both.create_task(_pump(far_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
            return
    _abort(writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close now; close() would wait for what a dead peer never takes."""
    transport = writer.transport
    if transport.get_write_buffer_size() == 0:
        writer.close()
    else:
        transport.abort()
