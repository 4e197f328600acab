"""The doors: one interface to each outside thing of a host. Arguments in, typed values out, no policy.

Each has a real implementation in this package and a simulated one in ``csi_driver.testing``; one contract suite
(tests/contract) runs against both. Methods that change the world are effects. Common errors: NotFound and Busy as
each method says, CommandFailed or InternalError for what was not foreseen, StillWorking when a program had to be
given up half way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from csi_driver.model.access import FsType
from csi_driver.model.secret import Secret

# --- LVM -------------------------------------------------------------------------------------------------------


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
    """``thin``, ``thin-pool``, ``linear``, ``striped`` ...: first word of lv_layout."""
    active: bool = False
    devno: tuple[int, int] | None = None
    """Kernel device number, when active."""
    thin_id: int | None = None
    data_percent: float = 0.0
    metadata_percent: float = 0.0
    metadata_size: int = 0


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

    def volume(self, name: str) -> LogicalVolume | None:
        """The LV of that name, or None."""
        return next((lv for lv in self.volumes if lv.name == name), None)


class Lvm(Protocol):
    """LVM, by one long-lived ``lvm`` shell with our own LVM_SYSTEM_DIR. Commands run to their end, never killed.

    Commands of one door are run one after the other.
    """

    async def group(self, vg: str) -> VolumeGroup:
        """The VG with all its LVs, read now. NotFound if there is no such VG."""
        ...

    async def create_thin(self, name: str, *, vg: str, pool: str, size: int, tags: frozenset[str]) -> None:
        """``lvcreate -V`` with its tags in the same command, active, autoactivation off.

        ``size`` must be a multiple of the extent. NoCapacity when LVM finds no room; Incompatible when an LV of
        that name exists.
        """
        ...

    async def create_thick(self, name: str, *, vg: str, size: int, tags: frozenset[str]) -> None:
        """A linear LV, likewise. Does not clear old data beyond LVM's own wiping of signatures."""
        ...

    async def remove(self, name: str, *, vg: str) -> None:
        """``lvremove``. NotFound if absent; Busy when the device is open."""
        ...

    async def extend(self, name: str, *, vg: str, size: int, metadata_only: bool) -> None:
        """Grow to ``size`` bytes; no error when it has that size. ``metadata_only``: without telling the kernel.

        NoCapacity when LVM finds no room.
        """
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


# --- device mapper ---------------------------------------------------------------------------------------------


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

    async def create(self, name: str, *, uuid: str) -> None:
        """A device without a table. Incompatible if the name or the uuid is taken."""
        ...

    async def load(self, name: str, lines: tuple[DmLine, ...]) -> None:
        """Put a table in the inactive slot. A table longer than the device below is refused with OutOfRange."""
        ...

    async def suspend(self, name: str) -> None:
        """Hold new I/O (no flush, no freeze); returns when what was in flight is done, however long that takes."""
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


# --- block and SCSI devices ------------------------------------------------------------------------------------


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

    async def rescan(self, disk: ScsiDisk) -> None:
        """Make the kernel read the capacity anew."""
        ...

    async def scan(self, iqn: str) -> None:
        """Scan LUN 0 of the sessions to ``iqn`` (``node.session.scan`` is manual)."""
        ...

    async def delete(self, disk: ScsiDisk) -> None:
        """Detach the disk from the kernel; fine when it is gone."""
        ...

    async def zero(self, devno: tuple[int, int], *, offset: int, length: int) -> None:
        """Write zeros (BLKZEROOUT) over ``length`` bytes and flush. Only for LVs that were just made."""
        ...


# --- LIO -------------------------------------------------------------------------------------------------------


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


# --- open-iscsi ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """One iSCSI session of this host. ``state`` is the kernel's: LOGGED_IN, FAILED, FREE."""

    sid: int
    iqn: str
    portal: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A static open-iscsi record: one target by one portal. Times in seconds."""

    iqn: str
    portal: str
    chap_user: str
    secret: Secret
    replacement_timeout: int = 900
    login_timeout: int = 3
    noop_interval: int = 5
    noop_timeout: int = 5


class Initiator(Protocol):
    """open-iscsi: the host's own iscsiadm for records and sessions, sysfs for looking."""

    async def name(self) -> str:
        """The host's initiator name, lower case. Unavailable when the host has none."""
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """All sessions, from sysfs."""
        ...

    async def records(self) -> tuple[tuple[str, str], ...]:
        """(iqn, portal) of every node record that names one of our targets."""
        ...

    async def put_record(self, record: NodeRecord) -> None:
        """Make or overwrite a record: startup and scan manual, CHAP, times. The secret never in argv."""
        ...

    async def remove_record(self, iqn: str) -> None:
        """Remove every record of the target; fine when there is none."""
        ...

    async def login(self, iqn: str, portal: str) -> None:
        """Log in; fine when logged in. Denied when the target refuses us, Unavailable when it does not answer."""
        ...

    async def logout(self, iqn: str) -> None:
        """End every session to the target; fine when there is none. Unavailable while iscsid cannot."""
        ...


# --- file systems and mounts -----------------------------------------------------------------------------------


class Formatter(Protocol):
    """Makes file systems. Handed to the agent alone: the consumer has no such door (failures.md D1)."""

    async def make(self, path: str, *, fs: FsType, options: tuple[str, ...]) -> None:
        """mkfs on the device at ``path``, never forced over what it finds, and flushed."""
        ...


class Filesystems(Protocol):
    """File systems that exist."""

    async def grow(self, path: str, *, mountpoint: str, fs: FsType) -> None:
        """Grow the mounted file system to its device; fine when it fills it."""
        ...

    async def size(self, path: str, *, fs: FsType) -> int:
        """Bytes the file system was made or grown for, read from its superblock."""
        ...


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


class Hosts(Protocol):
    """Facts about the host itself."""

    def boot_id(self) -> str:
        """Changes with every boot (/proc/sys/kernel/random/boot_id)."""
        ...

    def now(self) -> float:
        """Unix seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageDoors:
    """What the agent is handed: a host's disks and its target."""

    lvm: Lvm
    dm: Dm
    devices: Devices
    configfs: Configfs
    formatter: Formatter
    host: Hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerDoors:
    """What the node plugin is handed. There is no formatter here."""

    dm: Dm
    devices: Devices
    initiator: Initiator
    filesystems: Filesystems
    mounts: Mounts
    host: Hosts


def numbers(devno: tuple[int, int]) -> str:
    """``major:minor``, as dm tables and sysfs spell a device."""
    return f"{devno[0]}:{devno[1]}"
