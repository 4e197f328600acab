"""The state of one simulated machine: what its kernel holds, what lies on its disks. The doors act on it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from csi_driver.host.doors import Mount, NodeRecord, SavedReservations
from csi_driver.testing.groups import Group
from csi_driver.testing.image import Mounted
from csi_driver.testing.network import SimNetwork
from csi_driver.testing.nodes import DISK_MAJOR, Devno, Disk, Kernel, Node
from csi_driver.testing.sessions import IscsiDisk, SimSession
from csi_driver.testing.target import Target

ROOT_DISK: Devno = (DISK_MAJOR, 240)
FOLDERS = ("/", "/dev", "/run", "/tmp", "/var", "/var/lib", "/var/lib/kubelet")  # noqa: S108  # of a simulated host


@dataclass
class Disks:
    """What outlives the kernel, and is gone after a new installation, the volume groups apart."""

    node_records: dict[tuple[str, str], NodeRecord] = field(default_factory=dict)
    records: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Directories of small files, by the name of the directory."""
    reservations: dict[str, SavedReservations] = field(default_factory=dict)
    """What the kernel's target keeps of persistent reservations, by serial; a test puts it there."""
    keeps_reservations: bool = False
    """The folder for them is there."""
    paths: dict[str, str] = field(default_factory=lambda: dict.fromkeys(FOLDERS, "folder"))
    """Directories and files of the root file system: ``folder`` or ``file``."""


class Machine:
    """One machine on a network. It is on from the start."""

    def __init__(self, name: str = "node-1", network: SimNetwork | None = None) -> None:
        self.name = name
        self.network = network or SimNetwork()
        self.initiator = f"iqn.2004-10.com.example:{name.lower()}"
        self.address = self.network.join(self)
        self.groups: dict[str, Group] = {}
        self.disks = Disks()
        self.on = True
        self.boots = 0
        self.iscsid = True
        """Whether iscsid runs: without it nobody logs in or out."""
        self.formats: list[tuple[str, str, tuple[str, ...]]] = []
        """Every mkfs of this machine: device path, file system, options."""
        self._start_kernel()

    def _start_kernel(self) -> None:
        self.boots += 1
        self.boot_id = f"{self.name}-boot-{self.boots}"
        self.kernel = Kernel(self.network.pulse)
        self.target = Target(self.kernel, self.address)
        self.sessions: list[SimSession] = []
        self.mounts: list[Mount] = []
        self.mounted: dict[Devno, Mounted] = {}
        self.suspending: set[asyncio.Task[None]] = set()
        """Suspends of dm devices that a process waits in."""
        self.last_sid = 0
        self.used_mounts: set[str] = set()
        """Mount points that a process holds busy."""
        for group in self.groups.values():
            self.kernel.add(group.disk)

    @property
    def portal(self) -> str:
        """Where its targets listen, as settings spell it."""
        return f"{self.address}:3260"

    def add_group(self, name: str, size: int, *, extent: int = 4 << 20, disks: int = 1) -> Group:
        """A volume group over a new disk, or over ``disks`` equal parts of it. ``size`` is bytes of extents."""
        disk = self.add_disk(size + (1 << 20))
        self.groups[name] = Group(name, disk, size // extent, extent, disks)
        return self.groups[name]

    def add_disk(self, size: int) -> Disk:
        """A new blank disk."""
        minor = DISK_MAJOR, self.kernel.free_minor(DISK_MAJOR, 16)
        disk = Disk(self.network.pulse, f"vd{chr(ord('a') + minor[1] // 16)}", minor, size)
        self.kernel.add(disk)
        return disk

    def end_process(self) -> None:
        """The process of the driver ends: what only a waiting system call keeps up is undone."""
        for task in self.suspending:
            task.cancel()

    def power_off(self) -> None:
        """Everything that only memory held is gone; sessions to it fail, I/O in flight here ends with an error."""
        self.on = False
        self.end_process()
        self.target.close_all()
        for session in self.sessions:
            session.end()
        for node in list(self.kernel.nodes.values()):
            node.power_off()
        self.network.pulse.fire()

    def power_on(self) -> None:
        """A new boot: disks, small files and node records are as they were."""
        for group in self.groups.values():
            group.disk.failed = False
        self._start_kernel()
        self.on = True
        self.network.pulse.fire()

    def iscsi_disks(self, iqn: str) -> list[IscsiDisk]:
        """The disks of the sessions to a target."""
        return [disk for session in self.sessions if session.iqn == iqn for disk in session.disks]

    def mount_over(self, path: str) -> Mount | None:
        """The mount that ``path`` lies on; None for the root file system."""
        over = [mount for mount in self.mounts if path == mount.target or path.startswith(mount.target + "/")]
        longest = max((len(mount.target) for mount in over), default=0)
        return next((mount for mount in reversed(over) if len(mount.target) == longest), None)

    def shown(self, mount: Mount) -> Mount:
        """A line of the mount table as it reads now: after an error the kernel adds ``emergency_ro``."""
        mounted = self.mounted.get(mount.devno)
        if mounted is None or not mounted.broken:
            return mount
        return replace(mount, super_options=mount.super_options | {"emergency_ro"})

    def node_at(self, path: str) -> Node | None:
        """The device whose node is at ``path``: in /dev, or bound there."""
        bound = self.mount_over(path)
        if bound is not None and bound.fs == "devtmpfs" and bound.target == path:
            path = f"/dev{bound.root}"
        return self.kernel.at(path)
