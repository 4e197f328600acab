"""The door to the kernel's iSCSI target."""

from __future__ import annotations

from typing import Protocol


class Configfs(Protocol):
    """The kernel target's tree. Paths are relative to ``/sys/kernel/config/target``."""

    async def make(self, path: str) -> None:
        """mkdir, one level; fine when it exists. The parent must exist."""
        ...

    async def remove(self, path: str) -> None:
        """rmdir; fine when absent. May hang as long as a dead disk does (mechanisms.md 2)."""
        ...

    async def write(self, path: str, value: str) -> None:
        """Write an attribute. InternalError with the errno when the kernel refuses."""
        ...

    async def link(self, path: str, target: str) -> None:
        """symlink at ``path`` to the directory ``target``; fine when it is there."""
        ...

    async def unlink(self, path: str) -> None:
        """Remove a symlink; fine when absent."""
        ...

    async def read(self, path: str) -> str:
        """An attribute's text, stripped. NotFound if absent."""
        ...

    async def listing(self, path: str) -> tuple[str, ...]:
        """Names of the directories and links in ``path``, sorted, attribute files left out; empty if absent."""
        ...
