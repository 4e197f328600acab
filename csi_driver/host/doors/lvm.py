"""The door to LVM."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from csi_driver.model.volume import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalVolume:
    """One row of ``lvs``. Sizes in bytes; ``pool`` is the thin pool's LV name or empty."""

    vg: str
    name: str
    uuid: str
    size: int
    tags: frozenset[str]
    pool: str = ""
    layout: str = "linear"
    """``thin``, ``thin-pool``, ``linear``, ``striped``, ``raid1`` ...: the telling word of lv_layout."""
    active: bool = False
    devno: tuple[int, int] | None = None
    """Kernel device number, when active."""
    thin_id: int | None = None
    data_percent: float = 0.0
    metadata_percent: float = 0.0
    metadata_size: int = 0
    zeroing: bool = False
    """Of a thin pool: a chunk is zeroed when a volume first writes to it, so nothing unwritten ever shows old data."""
    data_layout: str = ""
    """Of a thin pool: how its data lies, in the words of ``layout``."""
    when_full: str = ""
    """Of a thin pool: ``queue`` (writes wait) or ``error`` (they fail at once)."""
    sync_percent: float | None = None
    """Of a raid LV: how much of it is on all its legs; None for others."""
    health: str = ""
    """LVM's own word when something is wrong (``lv_health_status``): ``partial``, ``refresh needed``, ``failed``."""


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """One disk of a VG. Sizes in bytes; ``name`` is ``[unknown]`` while it is missing."""

    name: str
    size: int
    free: int
    missing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeGroup:
    """One VG and all its LVs. Sizes in bytes."""

    name: str
    uuid: str
    size: int
    free: int
    extent: int
    metadata_size: int
    metadata_free: int
    missing: int
    """How many PVs are missing."""
    volumes: tuple[LogicalVolume, ...]
    disks: tuple[PhysicalVolume, ...] = ()
    tags: frozenset[str] = frozenset()

    def volume(self, name: str) -> LogicalVolume | None:
        """The LV of that name, or None."""
        return next((lv for lv in self.volumes if lv.name == name), None)


class Lvm(Protocol):
    """LVM, by one long-lived ``lvm`` shell with our own LVM_SYSTEM_DIR. Commands run to their end, never killed.

    Commands of one door are run one after the other.
    """

    async def group(self, vg: str, *, within: float = 0.0) -> VolumeGroup:
        """The VG with all its LVs, read now. NotFound if there is no such VG.

        With ``within``, what was read at most so many seconds ago will do, if this door has changed nothing since that
        it does not know in full: ``know``, and changes of tags.
        """
        ...

    def know(self, lv: LogicalVolume) -> None:
        """The thin volume that was made last is this one, as the kernel tells: what was read before holds, with it."""
        ...

    async def create_thin(
        self, name: str, *, vg: str, pool: str, size: int, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """``lvcreate -V`` with its tags in the same command, active, autoactivation off.

        Its device is there on return, by number; the names that udev gives it may come later when ``pool_is_up``:
        the caller has just seen the pool's own device in the kernel (``dm.tables.pool_name``).
        ``size`` must be a multiple of the extent. NoCapacity when LVM finds no room; Incompatible when an LV of
        that name exists.
        """
        ...

    async def create_thick(
        self,
        name: str,
        *,
        vg: str,
        size: int,
        tags: frozenset[str],
        layout: Layout = Layout.THICK,
        stripes: int = 1,
    ) -> None:
        """An LV of extents, likewise, in any layout but thin; a raid10 one of ``stripes`` pairs of disks.

        Does not clear old data beyond LVM's own wiping of signatures, and does not make the legs of a raid alike.
        NoCapacity when there are too few disks with room, too.
        """
        ...

    async def create_snapshot(
        self, name: str, *, vg: str, origin: str, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """``lvcreate -s`` of a thin LV in its own pool, with its tags in the same command, as large as its origin.

        It is inactive, and only ``activate`` makes its device; an active origin is held for a moment, and what is
        written to it afterwards is not seen. The origin's own device must not be suspended: LVM would leave the pool
        unfit for any change (kernel.md 7). ``pool_is_up`` as ``create_thin`` has it. NotFound when there is no
        origin, NoCapacity when the pool has reached LVM's threshold, Incompatible when an LV of that name exists,
        CommandFailed when the origin is not thin.
        """
        ...

    async def remove(self, name: str, *, vg: str) -> None:
        """``lvremove``. NotFound if absent; Busy when the device is open."""
        ...

    async def extend(self, name: str, *, vg: str, size: int, metadata_only: bool) -> None:
        """Grow to ``size`` bytes; no error when it has that size. ``metadata_only``: without telling the kernel.

        NoCapacity when LVM finds no room.
        """
        ...

    async def create_group(self, vg: str, *, disks: tuple[str, ...], tags: frozenset[str]) -> None:
        """``vgcreate`` over blank disks, or such with an LVM label and no group: 64 MiB for metadata on each, no
        autoactivation. Never answers a question of LVM's with yes. CommandFailed when a disk will not do.
        """
        ...

    async def create_pool(self, name: str, *, vg: str, size: int, metadata: int) -> None:
        """A thin pool with chunks of 64 KiB that are zeroed, and a spare for its metadata. Sizes in bytes.

        Incompatible when an LV of that name exists; NoCapacity when LVM finds no room.
        """
        ...

    async def grow_pool(self, name: str, *, vg: str, data: int = 0, metadata: int = 0) -> None:
        """Grow a thin pool's data or metadata, or both, to so many bytes, in the kernel too if it is up; 0: as it is.

        No error when it has that size. Writes that wait for room go on. NoCapacity when LVM finds no room.
        """
        ...

    async def set_when_full(self, name: str, *, vg: str, fail: bool) -> None:
        """Whether writes that find no room in a thin pool fail at once, or wait."""
        ...

    async def change_tags(self, name: str, *, vg: str, add: frozenset[str], remove: frozenset[str]) -> None:
        """One ``lvchange`` that adds and removes; removing a tag that is not there is fine. NotFound if no LV."""
        ...

    async def activate(self, name: str, *, vg: str) -> None:
        """Make the device; fine when active. NotFound if no LV."""
        ...

    async def deactivate(self, name: str, *, vg: str) -> None:
        """Take the device away; fine when inactive. Busy when open."""
        ...

    async def close(self) -> None:
        """End the shell after its running command."""
        ...
