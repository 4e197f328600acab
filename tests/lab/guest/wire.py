"""The lab's wire format: a line of JSON, then the blobs whose sizes it names.

Spoken between the machine and the agent in a guest; the same file runs at both ends.
"""

from __future__ import annotations

import json
import socket
from typing import Any, BinaryIO

Header = dict[str, Any]

LONGEST_HEADER = 1 << 20
"""Bytes; a longer first line is not ours."""


class WireError(Exception):
    """The other end went away in the middle of a message, or does not speak this format."""


def encode(header: Header, *blobs: bytes) -> bytes:
    """One message as bytes."""
    line = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    return b"".join((line, b"\n", *blobs))


def send(sock: socket.socket, header: Header, *blobs: bytes) -> None:
    """Write one message; raises OSError (TimeoutError after the socket's time limit)."""
    sock.sendall(encode(header, *blobs))


def receive(stream: BinaryIO) -> tuple[Header, list[bytes]]:
    """Read one message; raises WireError at an early end, OSError from the socket."""
    line = stream.readline(LONGEST_HEADER)
    if not line.endswith(b"\n"):
        raise WireError("the connection ended before a whole message had arrived")
    try:
        header: Header = json.loads(line)
        sizes: list[int] = header.pop("blobs")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WireError(f"not a message of the lab: {line[:80]!r}") from error
    return header, [_exactly(stream, size) for size in sizes]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    blob = stream.read(size)
    if len(blob) != size:
        raise WireError(f"the connection ended after {len(blob)} of {size} bytes")
    return blob
