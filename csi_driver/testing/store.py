"""Bytes of simulated disks, kept sparsely, and the requests that read and change them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

BLOCK = 4096


class Pulse:
    """Wakes all who wait for something to change in the simulated world."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Something changed."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, ready: Callable[[], bool]) -> None:
        """Return when ``ready`` holds; asked again at each change."""
        while not ready():
            await self._event.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Io:
    """One request to a block device. Bytes; ``data`` is as long as ``length`` when it writes."""

    op: Literal["read", "write", "zero"]
    offset: int
    length: int
    data: bytes = field(default=b"", repr=False)

    def part(self, start: int, length: int, to: int) -> Io:
        """The piece that begins ``start`` bytes into this one, moved to offset ``to``."""
        return replace(self, offset=to, length=length, data=self.data[start : start + length])


def reading(offset: int, length: int) -> Io:
    """A request for bytes."""
    return Io(op="read", offset=offset, length=length)


def writing(offset: int, data: bytes) -> Io:
    """A request that stores bytes."""
    return Io(op="write", offset=offset, length=len(data), data=data)


def zeroing(offset: int, length: int) -> Io:
    """A request that stores zeros."""
    return Io(op="zero", offset=offset, length=length)


class Store:
    """Bytes by blocks of 4 KiB; what was never written reads as zeros."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}

    def apply(self, io: Io) -> bytes:
        """Do it; the bytes when it reads, else nothing."""
        if io.op == "read":
            return self._read(io.offset, io.length)
        if io.op == "zero":
            self._zero(io.offset, io.length)
        else:
            self._write(io.offset, io.data)
        return b""

    def _read(self, offset: int, length: int) -> bytes:
        first, last = offset // BLOCK, -(-(offset + length) // BLOCK)
        whole = b"".join(self.blocks.get(number, bytes(BLOCK)) for number in range(first, last))
        start = offset - first * BLOCK
        return whole[start : start + length]

    def _write(self, offset: int, data: bytes) -> None:
        done = 0
        while done < len(data):
            number, inside = divmod(offset + done, BLOCK)
            piece = data[done : done + BLOCK - inside]
            old = self.blocks.get(number, bytes(BLOCK))
            self.blocks[number] = old[:inside] + piece + old[inside + len(piece) :]
            done += len(piece)

    def _zero(self, offset: int, length: int) -> None:
        end = offset + length
        for number in [n for n in self.blocks if offset < (n + 1) * BLOCK and n * BLOCK < end]:
            start = max(offset - number * BLOCK, 0)
            stop = min(end - number * BLOCK, BLOCK)
            old = self.blocks[number]
            new = old[:start] + bytes(stop - start) + old[stop:]
            if new.strip(b"\0"):
                self.blocks[number] = new
            else:
                del self.blocks[number]
