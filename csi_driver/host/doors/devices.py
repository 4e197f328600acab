"""The door to block and SCSI devices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ScsiDisk:
    """A disk of an iSCSI session, found through sysfs. ``name`` is ``sda`` or so: good for this moment only."""

    name: str
    devno: tuple[int, int]
    iqn: str
    lun: int
    state: str
    """``running``, ``blocked``, ``transport-offline`` ..."""


@dataclass(frozen=True, slots=True)
class ScsiIdentity:
    """What the device itself answers now to INQUIRY, VPD pages 0x80 and 0x83, and READ CAPACITY."""

    serial: str
    naa: str
    """The designator of type NAA in hex digits, without prefix."""
    size: int
    """Bytes."""
    read_only: bool


class Devices(Protocol):
    """Block devices through sysfs and SCSI ioctls."""

    def path(self, devno: tuple[int, int]) -> str:
        """A path that opens this very device (``/dev/dm-3``), from sysfs and the device number, not by links."""
        ...

    async def size(self, devno: tuple[int, int]) -> int:
        """Bytes. NotFound if there is no such device."""
        ...

    async def disks(self, iqn: str) -> tuple[ScsiDisk, ...]:
        """The disks of the sessions to target ``iqn``; empty while the kernel's scan has not found any."""
        ...

    async def identity(self, disk: ScsiDisk) -> ScsiIdentity:
        """Ask the device (SG_IO), not sysfs, whose pages are cached (failures.md D2). Unavailable if it is silent."""
        ...

    async def used(self, path: str) -> str:
        """Why the block device at ``path`` is not a blank one that nobody uses, in words; empty when it is.

        Blank: the first and the last MiB hold zeros. Writes nothing.
        """
        ...

    async def rescan(self, disk: ScsiDisk) -> None:
        """Make the kernel read the capacity anew."""
        ...

    async def scan(self, iqn: str) -> None:
        """Scan LUN 0 of the sessions to ``iqn`` (``node.session.scan`` is manual)."""
        ...

    async def delete(self, disk: ScsiDisk) -> None:
        """Detach the disk from the kernel; fine when it is gone."""
        ...

    async def flush(self, devno: tuple[int, int]) -> None:
        """Everything written to the device before is on the disk on return (fsync). NotFound if there is no device."""
        ...

    async def zero(self, devno: tuple[int, int], *, offset: int, length: int) -> None:
        """Write zeros (BLKZEROOUT) over ``length`` bytes and flush. Only for LVs that were just made."""
        ...
