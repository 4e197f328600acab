"""Speaks to the agent in a guest; every exchange has a time limit, so a hung guest hangs nobody."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

from tests.lab.errors import GuestError, HostDown
from tests.lab.guest import wire

QUICK = 15.0
"""Seconds for an operation that only reads or writes memory in the guest."""
MARGIN = 10.0
"""Seconds on top of the time limit that the agent itself keeps."""


@dataclass(frozen=True)
class Channel:
    """The way to the agent of the host `name`: a Unix socket that the supervisor forwards."""

    name: str
    path: Path

    def request(
        self, op: str, *blobs: bytes, limit: float = QUICK, **header: object
    ) -> tuple[wire.Header, list[bytes]]:
        """One operation; raises HostDown when the agent does not answer within `limit` s, GuestError if refused."""
        try:
            with self._connect(limit) as sock:
                wire.send(sock, {"op": op, **header}, *blobs)
                with sock.makefile("rb") as stream:
                    answer, printed = wire.receive(stream)
        except (OSError, wire.WireError) as error:
            raise HostDown(f"{self.name}: no answer to {op!r} within {limit:.0f} s: {error}") from error
        if "error" in answer:
            raise GuestError(f"{self.name}: {op}: {answer['error']}")
        return answer, printed

    def stream(self, op: str, **header: object) -> socket.socket:
        """Begin an operation that turns into a stream of bytes; the socket has no time limit any more."""
        sock = self._connect(QUICK)
        try:
            wire.send(sock, {"op": op, **header})
            line = b""
            while not line.endswith(b"\n"):
                byte = sock.recv(1)
                if not byte:
                    raise HostDown(f"{self.name}: the connection ended instead of beginning to stream")
                line += byte
        except OSError as error:
            sock.close()
            raise HostDown(f"{self.name}: no answer to {op!r}: {error}") from error
        if b'"error"' in line:
            sock.close()
            raise GuestError(f"{self.name}: {op}: {line.decode(errors='replace').strip()}")
        sock.settimeout(None)
        return sock

    def _connect(self, limit: float) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(limit)
        try:
            sock.connect(str(self.path))
        except OSError:
            sock.close()
            raise
        return sock
