"""File systems that exist: how large they are, and growing them while mounted. Nothing here makes or repairs one."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path

from csi_driver.errors import NotFound, Precondition, Unavailable
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect
from csi_driver.kit.run import Command, Runner
from csi_driver.model.access import FsType

PATIENCE = 10.0
"""Seconds that a device may take to show its superblock."""
_GROW_LIMIT = 600.0
_BEGINNING = 4096
_EXT4_OFFSET, _EXT4_MAGIC, _EXT4_64BIT = 1024, 0xEF53, 0x80
_XFS_MAGIC = b"XFSB"


class KernelFilesystems:
    """``doors.Filesystems`` on the real host, with the tools beside us."""

    def __init__(self, runner: Runner, effects: Effects) -> None:
        self.effects, self._runner = effects, runner

    @effect("fs.grow")
    async def grow(self, path: str, *, mountpoint: str, fs: FsType) -> None:
        """See ``Filesystems.grow``.

        Precondition unless ``mountpoint`` is a mount of this device: resize2fs would grow an unmounted file system
        behind the back of whoever has it mounted where we do not see it. CommandFailed with the tool's complaint.
        """
        look = blocking.answer(lambda: _is_mounted(path, mountpoint), f"the mount at {mountpoint}", seconds=PATIENCE)
        if not await look:
            raise Precondition(f"{path} is not mounted on {mountpoint}: only a mounted file system is grown")
        tool = ("resize2fs", path) if fs is FsType.EXT4 else ("xfs_growfs", mountpoint)
        await self._runner.run(Command(argv=tool, timeout=_GROW_LIMIT))

    async def size(self, path: str, *, fs: FsType) -> int:
        """See ``Filesystems.size``.

        Precondition when there is no such file system; Unavailable when the device fails or does not answer.
        The superblock of a mounted xfs may be a few seconds behind what it was grown to.
        """
        content = await blocking.answer(lambda: _read(path, fs), f"the device {path}", seconds=PATIENCE)
        found = ext4_size(content) if fs is FsType.EXT4 else xfs_size(content)
        if found is None:
            raise Precondition(f"there is no {fs.value} file system on {path}")
        return found


def ext4_size(content: bytes) -> int | None:
    """Bytes, from the first KiBs of the device (the kernel's ``Documentation/filesystems/ext4``, super block)."""
    block = content[_EXT4_OFFSET:]
    if len(block) < 0x154 or struct.unpack_from("<H", block, 0x38)[0] != _EXT4_MAGIC:
        return None
    low, high = struct.unpack_from("<I", block, 0x4)[0], struct.unpack_from("<I", block, 0x150)[0]
    wide = struct.unpack_from("<I", block, 0x60)[0] & _EXT4_64BIT
    blocks = low + (high << 32 if wide else 0)
    return int(blocks * (1024 << struct.unpack_from("<I", block, 0x18)[0]))


def xfs_size(content: bytes) -> int | None:
    """Bytes of the data section, from the device's beginning (``xfs_dsb`` in the kernel's ``xfs_format.h``)."""
    if len(content) < 16 or not content.startswith(_XFS_MAGIC):
        return None
    block_size, blocks = struct.unpack_from(">IQ", content, 4)
    return int(block_size * blocks)


def _is_mounted(path: str, mountpoint: str) -> bool:
    try:
        return Path(path).stat().st_rdev == Path(mountpoint).stat().st_dev
    except FileNotFoundError:
        return False


def _read(path: str, fs: FsType) -> bytes:
    # A mounted ext4 keeps its superblock in the device's page cache, where a plain read sees it. xfs does not: a
    # plain read may show what was cached long ago, a direct one what is on disk.
    flags = os.O_RDONLY | os.O_CLOEXEC | (os.O_DIRECT if fs is FsType.XFS else 0)
    try:
        descriptor = os.open(path, flags)
        try:
            # An anonymous map is aligned to a page, as O_DIRECT wants it.
            with mmap.mmap(-1, _BEGINNING) as page:
                length = os.preadv(descriptor, [page], 0)
                return page[:length]
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise NotFound(f"{path} is gone") from error
        raise Unavailable(f"{path} cannot be read: {error.strerror}") from error
