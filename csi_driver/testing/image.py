"""A file system as simulated: a superblock in the device's own bytes, so that whatever happens to them happens to it.

Block 0 holds the superblock with the list of files; file number n lies at n MiB (from 1 on) and is at most 1 MiB.
A mount for writing leaves its mark in the superblock: another mount that writes afterwards is found out.
"""

from __future__ import annotations

import asyncio
import errno
import json
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from csi_driver.model.sizes import MIB
from csi_driver.testing.nodes import Node, trouble
from csi_driver.testing.store import BLOCK, reading, writing

MAGIC = b"SIMULATED FILE SYSTEM "


@dataclass
class Image:
    """A superblock. ``size`` in bytes as made or grown; ``writer`` the mark of the last mount for writing."""

    fs: str
    size: int
    uuid: str
    writer: str = ""
    clean: bool = True
    files: dict[str, int] = field(default_factory=dict)
    """Bytes of each file, in the order they were made."""

    def pack(self) -> bytes:
        """One block."""
        text = MAGIC + json.dumps(asdict(self)).encode()
        if len(text) > BLOCK:
            raise trouble(errno.ENOSPC, "too many files for a simulated file system")
        return text.ljust(BLOCK, b"\0")


async def probe(node: Node) -> Image | None:
    """The file system on a device, or None when its first block is not a superblock."""
    if node.size < BLOCK:
        return None
    block = await node.io(reading(0, BLOCK))
    if not block.startswith(MAGIC):
        return None
    return Image(**json.loads(block[len(MAGIC) :].rstrip(b"\0")))


async def store(node: Node, image: Image) -> None:
    """Write the superblock."""
    await node.io(writing(0, image.pack()))


class Mounted:
    """A file system that a kernel has mounted, on however many mount points."""

    def __init__(self, node: Node, image: Image, violations: list[str], *, readonly: bool) -> None:
        self.node, self.fs, self.uuid, self.readonly = node, image.fs, image.uuid, readonly
        self.mark = image.writer
        self.broken = False
        """An error was met: remounted read-only (``errors=remount-ro``), or shut down as xfs does."""
        self._violations = violations
        self._frozen: asyncio.Event | None = None
        """Set at the thaw; writers wait for it."""

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Bytes of a file. OSError."""
        image = await self._load()
        if name not in image.files:
            raise trouble(errno.ENOENT, name)
        length = max(min(length, image.files[name] - offset), 0)
        return await self.node.io(reading(_start(image, name) + offset, length))

    async def write(self, name: str, offset: int, data: bytes) -> None:
        """Write and sync bytes of a file, made when missing. OSError; the first EIO makes it read-only."""
        if self._frozen is not None:
            await self._frozen.wait()
        if self.readonly or self.broken:
            raise trouble(errno.EROFS, name)
        try:
            await self._write(name, offset, data)
        except OSError as error:
            self.broken = error.errno not in (errno.ENOSPC, errno.EFBIG)
            raise

    async def _write(self, name: str, offset: int, data: bytes) -> None:
        image = await self._load()
        image.files.setdefault(name, 0)
        image.files[name] = max(image.files[name], offset + len(data))
        if image.files[name] > MIB:
            raise trouble(errno.EFBIG, name)
        if _start(image, name) + image.files[name] > image.size:
            raise trouble(errno.ENOSPC, name)
        await self.node.io(writing(_start(image, name) + offset, data))
        await store(self.node, image)

    async def freeze(self) -> None:
        """Writers wait from now on, and the device holds a file system that needs no replay. OSError."""
        if self._frozen is None and not self.readonly:
            if self.broken:
                raise trouble(errno.EIO, self.node.name)
            await self._mark_clean(clean=True)
            self._frozen = asyncio.Event()

    async def thaw(self) -> None:
        """Writers go on; fine when it was not frozen. A device that answers with errors is met by the next writer."""
        frozen, self._frozen = self._frozen, None
        if frozen is not None:
            with suppress(OSError):
                await self._mark_clean(clean=False)
            frozen.set()

    async def _mark_clean(self, *, clean: bool) -> None:
        image = await self._load()
        image.clean = clean
        await store(self.node, image)

    async def grow(self) -> None:
        """Grow it to its device."""
        image = await self._load()
        if image.size != self.node.size:
            image.size = self.node.size
            await store(self.node, image)

    async def finish(self) -> None:
        """The last unmount. A device that answers with errors cannot be written to: that is no error of unmount."""
        try:
            image = await probe(self.node)
            if image is not None and not self.readonly and not self.broken and image.writer == self.mark:
                image.clean = True
                await store(self.node, image)
        except OSError:
            return

    async def size(self) -> tuple[int, int, int]:
        """Bytes in all, bytes used, files."""
        image = await self._load()
        return image.size, BLOCK + sum(image.files.values()), len(image.files)

    async def _load(self) -> Image:
        image = await probe(self.node)
        if image is None or image.uuid != self.uuid:
            raise trouble(errno.EUCLEAN, f"the file system on {self.node.name} is gone from under its mount")
        if image.writer != self.mark and not self.readonly:
            self._violations.append(f"{self.node.name}: {self.mark} is still mounted, and {image.writer} wrote")
            raise trouble(errno.EUCLEAN, f"{image.writer} has written to the file system of {self.mark}")
        return image


def _start(image: Image, name: str) -> int:
    return (1 + list(image.files).index(name)) * MIB
