"""The doors to file systems: one that makes them, one that only uses them."""

from __future__ import annotations

from typing import Protocol

from csi_driver.model.access import FsType


class Formatter(Protocol):
    """Makes file systems. Handed to the agent alone: the consumer has no such door (failures.md D1)."""

    async def make(self, path: str, *, fs: FsType, options: tuple[str, ...], blank: bool = False) -> None:
        """mkfs on the device at ``path``, never forced over what it finds, and flushed.

        ``blank``: every byte of the device is known to read as zero, now and where only a part of a block is
        written, so that nothing has to be zeroed again.
        """
        ...


class Filesystems(Protocol):
    """File systems that exist."""

    async def grow(self, path: str, *, mountpoint: str, fs: FsType) -> None:
        """Grow the mounted file system to its device; fine when it fills it."""
        ...

    async def size(self, path: str, *, fs: FsType) -> int:
        """Bytes the file system was made or grown for, read from its superblock."""
        ...
