"""The door to device-mapper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class DmLine:
    """One line of a table. ``start`` and ``length`` in sectors of 512 bytes; ``args`` as the target takes them."""

    start: int
    length: int
    target: str
    args: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DmDevice:
    """What DM_DEV_STATUS says."""

    name: str
    uuid: str
    devno: tuple[int, int]
    open_count: int
    suspended: bool
    readonly: bool = False
    """Writes are refused by the kernel."""
    has_table: bool
    """A live table is there: false between create and the first resume."""


class Dm(Protocol):
    """device-mapper by ioctl, without udev synchronisation (mechanisms.md 1 and 3)."""

    async def devices(self) -> tuple[DmDevice, ...]:
        """Every device whose dm uuid begins with ours (``CLINKER-``)."""
        ...

    async def find(self, name: str) -> DmDevice | None:
        """The device of that name, whoever made it, or None."""
        ...

    async def table(self, name: str) -> tuple[DmLine, ...]:
        """The live table. NotFound if no device."""
        ...

    async def status(self, name: str) -> tuple[DmLine, ...]:
        """What the targets of the device say of themselves, whoever made it; ``args`` in each target's own words.

        Nothing is written to find out. NotFound if no device.
        """
        ...

    async def create(self, name: str, *, uuid: str) -> None:
        """A device without a table. Incompatible if the name or the uuid is taken."""
        ...

    async def load(self, name: str, lines: tuple[DmLine, ...], *, readonly: bool = False) -> None:
        """Put a table in the inactive slot; with ``readonly`` the kernel refuses writes from the resume on.

        A table longer than the device below is refused with OutOfRange.
        """
        ...

    async def suspend(self, name: str, *, freeze: bool = False) -> None:
        """Hold new I/O (no flush, no freeze); returns when what was in flight is done, however long that takes.

        ``freeze``: the file system on it is frozen first, with all that it has written on the device and its journal
        empty; the resume thaws it. InternalError when it cannot be: then nothing is held.
        """
        ...

    async def resume(self, name: str) -> None:
        """Swap in the loaded table, if any, and let I/O go. Udev is told to leave the device alone."""
        ...

    async def rename(self, name: str, new: str) -> None:
        """Give it another name. The uuid stays."""
        ...

    async def remove(self, name: str) -> None:
        """Take it away. NotFound if absent, Busy while open."""
        ...
