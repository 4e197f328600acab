"""The door to the mount table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from csi_driver.model.access import FsType


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/self/mountinfo. Identify by ``devno``, never by source name (mechanisms.md 1)."""

    devno: tuple[int, int]
    root: str
    target: str
    fs: str
    options: frozenset[str]
    super_options: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What statvfs says. Bytes and inodes."""

    total: int
    used: int
    available: int
    inodes: int
    inodes_used: int
    inodes_free: int


class Mounts(Protocol):
    """The mount table of this process's mount namespace, and the paths that things are mounted on."""

    async def table(self) -> tuple[Mount, ...]:
        """All mounts, oldest first: of two on one target the last is seen."""
        ...

    async def mount(self, path: str, target: str, *, fs: FsType, options: tuple[str, ...]) -> None:
        """Mount the device at ``path`` on ``target``, which exists. Never helps itself with a repair or a mkfs."""
        ...

    async def bind(self, source: str, target: str, *, readonly: bool) -> None:
        """Bind-mount a directory or a device node."""
        ...

    async def unmount(self, target: str) -> None:
        """Unmount the topmost mount; Busy when in use, fine when nothing is mounted."""
        ...

    async def make_folder(self, path: str) -> None:
        """Make a directory; fine when it is one."""
        ...

    async def make_file(self, path: str) -> None:
        """Make an empty file for a device to be bound on; fine when it is one."""
        ...

    async def remove(self, path: str) -> None:
        """Remove an empty directory or an empty file; fine when absent."""
        ...

    async def device_at(self, path: str) -> tuple[int, int] | None:
        """The device number when ``path`` is a block device node, else None."""
        ...

    async def exists(self, path: str) -> bool:
        """Whether something is at ``path``."""
        ...

    async def usage(self, path: str) -> Usage:
        """Of the file system mounted there. Unavailable if it does not answer within a few seconds."""
        ...
