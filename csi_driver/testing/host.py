"""A simulated host: one machine, the doors that its driver process is handed, and what an application there can do."""

from __future__ import annotations

import errno
from collections.abc import Callable

from csi_driver.host.doors import ConsumerDoors, StorageDoors
from csi_driver.kit.effects import Effects
from csi_driver.testing.configfs import SimConfigfs
from csi_driver.testing.dm import SimDm
from csi_driver.testing.faults import Act, Killed
from csi_driver.testing.filesystems import SimFilesystems, SimFormatter
from csi_driver.testing.groups import Group
from csi_driver.testing.image import Mounted
from csi_driver.testing.initiator import SimDevices, SimInitiator
from csi_driver.testing.lvm import SimLvm
from csi_driver.testing.machine import Disks, Machine
from csi_driver.testing.mounts import SimMounts
from csi_driver.testing.network import SimNetwork
from csi_driver.testing.nodes import Node, trouble
from csi_driver.testing.records import SimRecords
from csi_driver.testing.reservations import SimReservations
from csi_driver.testing.store import Io, reading, writing


class SimFacts:
    """The door ``Hosts``."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def boot_id(self) -> str:
        """See ``Hosts.boot_id``."""
        return self._machine.boot_id

    def now(self) -> float:
        """See ``Hosts.now``: the network's clock."""
        return self._machine.network.now()


class ProcessEffects(Effects):
    """The effect layer of one process: passes on to ``layer``, which a test may change, until the process is dead."""

    def __init__(self, layer: Effects) -> None:
        self.layer = layer
        self.dead = False
        self.on_death: Callable[[], None] = lambda: None
        """Called when the layer kills the process."""

    async def perform(self, name: str, subject: str, act: Act) -> object:
        """See ``Effects.perform``. What tasks of a dead process still try is not done."""
        if self.dead:
            raise Killed
        try:
            done = await self.layer.perform(name, subject, act)
        except Killed:
            if not self.dead:
                self.dead = True
                self.on_death()
            raise
        if self.dead:
            raise Killed
        return done


class SimHost:
    """One host. The doors belong to its driver process: take them anew after ``process_crash`` or ``reboot``."""

    def __init__(self, name: str = "node-1", network: SimNetwork | None = None, effects: Effects | None = None) -> None:
        self.machine = Machine(name, network)
        self._start_process(effects or Effects())

    def _start_process(self, layer: Effects) -> None:
        self.effects = ProcessEffects(layer)
        self.lvm = SimLvm(self.machine, self.effects)
        self.dm = SimDm(self.machine, self.effects)
        self.devices = SimDevices(self.machine, self.effects)
        self.configfs = SimConfigfs(self.machine, self.effects)
        self.reservations = SimReservations(self.machine, self.effects)
        self.formatter = SimFormatter(self.machine, self.effects)
        self.initiator = SimInitiator(self.machine, self.effects)
        self.filesystems = SimFilesystems(self.machine, self.effects)
        self.mounts = SimMounts(self.machine, self.effects)
        self.facts = SimFacts(self.machine)

    @property
    def name(self) -> str:
        """Its name on the network."""
        return self.machine.name

    @property
    def network(self) -> SimNetwork:
        """The network it is on."""
        return self.machine.network

    @property
    def portal(self) -> str:
        """``address:port`` of its targets."""
        return self.machine.portal

    @property
    def storage(self) -> StorageDoors:
        """What its agent is handed."""
        return StorageDoors(
            lvm=self.lvm,
            dm=self.dm,
            devices=self.devices,
            configfs=self.configfs,
            reservations=self.reservations,
            formatter=self.formatter,
            host=self.facts,
        )

    @property
    def consumer(self) -> ConsumerDoors:
        """What its node plugin is handed."""
        return ConsumerDoors(
            dm=self.dm,
            devices=self.devices,
            initiator=self.initiator,
            filesystems=self.filesystems,
            mounts=self.mounts,
            host=self.facts,
        )

    def records(self, folder: str) -> SimRecords:
        """The small files of one directory on this host's disk."""
        return SimRecords(self.machine.disks.records.setdefault(folder, {}), self.effects)

    def add_group(
        self, name: str = "vg0", size: int = 8 << 30, *, thin_pool: str = "", thin_size: int = 0, disks: int = 1
    ) -> Group:
        """A volume group of ``size`` bytes on ``disks`` new disks, with a thin pool if one is named (default: half)."""
        group = self.machine.add_group(name, size, disks=disks)
        if thin_pool:
            group.add_pool(thin_pool, thin_size or size // 2)
        return group

    def process_crash(self, effects: Effects | None = None) -> None:
        """The driver process dies and starts again; the kernel and the disks do not notice."""
        self.effects.dead = True
        self.machine.end_process()
        self._start_process(effects or Effects())

    def power_off(self) -> None:
        """As if the plug was pulled."""
        self.effects.dead = True
        self.machine.power_off()

    def power_on(self, effects: Effects | None = None) -> None:
        """Boot: only what lay on disks is there."""
        self.machine.power_on()
        self._start_process(effects or Effects())

    def reboot(self, effects: Effects | None = None) -> None:
        """Power off and on again."""
        self.power_off()
        self.power_on(effects)

    def reimage(self, effects: Effects | None = None) -> None:
        """A new installation: the volume groups are there, our small files and the node records are not."""
        self.power_off()
        self.machine.disks = Disks()
        self.power_on(effects)

    # -- what an application does

    async def write(self, path: str, data: bytes, offset: int = 0) -> None:
        """Write and sync, to a file of a mounted volume or to a block device. OSError as an application sees it."""
        node = self.machine.node_at(path)
        if node is not None:
            await _with_open(node, writing(offset, data))
            return
        mounted, name, readonly = self._file(path)
        if readonly:
            raise trouble(errno.EROFS, path)
        await mounted.write(name, offset, data)

    async def read(self, path: str, length: int, offset: int = 0) -> bytes:
        """Read likewise; a file gives at most what it has."""
        node = self.machine.node_at(path)
        if node is not None:
            return await _with_open(node, reading(offset, length))
        mounted, name, _ = self._file(path)
        return await mounted.read(name, offset, length)

    def _file(self, path: str) -> tuple[Mounted, str, bool]:
        row = self.machine.mount_over(path)
        mounted = self.machine.mounted.get(row.devno) if row else None
        if row is None or mounted is None:
            raise trouble(errno.ENOENT, f"{path} is on no volume")
        inside = path[len(row.target) :]
        return mounted, (row.root.rstrip("/") + inside).lstrip("/"), "ro" in row.options

    def hold_mount(self, target: str) -> None:
        """A process keeps a mount busy until ``let_go``."""
        self.machine.used_mounts.add(target)

    def let_go(self, target: str) -> None:
        """Undo ``hold_mount``."""
        self.machine.used_mounts.discard(target)

    # -- faults of the hardware

    def hang(self, dm_name: str, *, hung: bool = True) -> None:
        """Requests to the dm device (an LV as ``vg-lv``) wait, until called again with ``hung=False``."""
        node = self.machine.kernel.named(dm_name)
        if node is None:
            raise KeyError(dm_name)
        node.hung = hung
        self.network.pulse.fire()

    # -- what is left

    def leftovers(self) -> tuple[str, ...]:
        """Everything that volumes leave on a host, sorted: empty when all is cleaned up. Directories of ours apart."""
        machine = self.machine
        found = [
            f"lv {g.name}/{lv.name}" for g in machine.groups.values() for lv in g.volumes.values() if not lv.own_pool
        ]
        found += [f"dm {node.dm_name}" for node in machine.kernel.mapped() if not node.uuid.startswith("LVM-")]
        found += self._target_leftovers()
        found += [f"session {session.iqn}" for session in machine.sessions]
        found += [f"record {iqn} {portal}" for iqn, portal in machine.disks.node_records]
        found += [f"mount {mount.target}" for mount in machine.mounts]
        found += [f"reservations {serial}" for serial in machine.disks.reservations]
        # What a node offers is no volume's.
        small = {folder: files for folder, files in machine.disks.records.items() if folder != "offer"}
        found += [f"file {folder}/{name}" for folder, files in small.items() for name in files]
        return tuple(sorted(found))

    def _target_leftovers(self) -> list[str]:
        root, found = self.machine.target.root, []
        for hba, folder in root.at("core").folders.items():
            found += [f"backstore {hba}/{name}" for name, each in folder.folders.items() if not each.fixed]
        fabric = root.find("iscsi")
        for iqn, target in fabric.folders.items() if fabric else ():
            if target.fixed:
                continue
            found.append(f"target {iqn}")
            for tpg in target.folders.values():
                found += [
                    f"acl {iqn} {name}" for name in (tpg.folders["acls"].folders if "acls" in tpg.folders else ())
                ]
        return found


async def _with_open(node: Node, io: Io) -> bytes:
    node.open()
    try:
        return await node.io(io)
    finally:
        node.close()
