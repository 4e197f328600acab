"""The state of one simulated machine: what its kernel holds, what lies on its disks. The doors act on it."""

from __future__ import annotations

from dataclasses import dataclass, field

from csi_driver.host.doors import Mount, NodeRecord
from csi_driver.testing.groups import Group
from csi_driver.testing.image import Mounted
from csi_driver.testing.network import SimNetwork
from csi_driver.testing.nodes import DISK_MAJOR, Devno, Disk, Kernel
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
        self._start_kernel()

    def _start_kernel(self) -> None:
        self.boots += 1
        self.boot_id = f"{self.name}-boot-{self.boots}"
        self.kernel = Kernel(self.network.pulse)
        self.target = Target(self.kernel, self.address)
        self.sessions: list[SimSession] = []
        self.mounts: list[Mount] = []
        self.mounted: dict[Devno, Mounted] = {}
        self.used_mounts: list[str] = []
        """Mount points that a process holds busy."""
        for group in self.groups.values():
            self.kernel.add(group.disk)

    @property
    def portal(self) -> str:
        """Where its targets listen, as settings spell it."""
        return f"{self.address}:3260"

    def add_group(self, name: str, size: int, *, extent: int = 4 << 20) -> Group:
        """A volume group over a new disk. ``size`` is bytes of extents."""
        minor = DISK_MAJOR, self.kernel.free_minor(DISK_MAJOR, 16)
        disk = Disk(self.network.pulse, f"vd{chr(ord('a') + minor[1] // 16)}", minor, size + (1 << 20))
        self.kernel.add(disk)
        self.groups[name] = Group(name, disk, size // extent, extent)
        return self.groups[name]

    def power_off(self) -> None:
        """Everything that only memory held is gone; sessions to it fail, I/O in flight here ends with an error."""
        self.on = False
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
