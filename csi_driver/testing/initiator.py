"""Simulated open-iscsi: node records on disk, sessions in the kernel, and the disks of a host."""

from __future__ import annotations

from csi_driver.errors import InternalError, InvalidRequest, NotFound, Unavailable
from csi_driver.host.doors import NodeRecord, ScsiDisk, ScsiIdentity, Session
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.ids import IQN_PREFIX
from csi_driver.model.sizes import MIB
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import SD_MAJOR, Node
from csi_driver.testing.sessions import IscsiDisk, SimSession
from csi_driver.testing.store import reading, zeroing
from csi_driver.testing.target import DUMMY_SIZE, naa_of


class SimInitiator:
    """The door ``Initiator``."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    async def name(self) -> str:
        """See ``Initiator.name``."""
        if not self._machine.initiator:
            raise Unavailable("this host has no initiator name")
        return self._machine.initiator

    async def sessions(self) -> tuple[Session, ...]:
        """See ``Initiator.sessions``."""
        return tuple(Session(each.sid, each.iqn, each.portal, each.state) for each in self._machine.sessions)

    async def records(self) -> tuple[tuple[str, str], ...]:
        """See ``Initiator.records``."""
        return tuple(sorted(key for key in self._machine.disks.node_records if key[0].startswith(IQN_PREFIX)))

    @effect("iscsi.put_record")
    async def put_record(self, record: NodeRecord) -> None:
        """See ``Initiator.put_record``."""
        self._machine.disks.node_records[record.iqn, record.portal] = record

    @effect("iscsi.remove_record")
    async def remove_record(self, iqn: str) -> None:
        """See ``Initiator.remove_record``. A session does not need its record; InvalidRequest for targets of others."""
        if not iqn.startswith(IQN_PREFIX):
            raise InvalidRequest(f"{iqn!r} is not the name of a target of this driver")
        records = self._machine.disks.node_records
        for key in [key for key in records if key[0] == iqn]:
            del records[key]

    @effect("iscsi.login")
    async def login(self, iqn: str, portal: str) -> None:
        """See ``Initiator.login``."""
        self._check_daemon()
        record = self._machine.disks.node_records.get((iqn, portal))
        if record is None:
            raise NotFound(f"{iqn}: login: iscsiadm finds no such record")
        if any((each.iqn, each.portal) == (iqn, portal) for each in self._machine.sessions):
            return
        self._machine.last_sid += 1
        self._machine.sessions.append(SimSession(self._machine, self._machine.last_sid, record))

    @effect("iscsi.logout")
    async def logout(self, iqn: str) -> None:
        """See ``Initiator.logout``."""
        mine = [session for session in self._machine.sessions if session.iqn == iqn]
        if mine:
            self._check_daemon()
        for session in mine:
            self._machine.sessions.remove(session)
            session.end()

    def _check_daemon(self) -> None:
        if not self._machine.iscsid:
            raise Unavailable("iscsid does not answer")


class SimDevices:
    """The door ``Devices``."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    def path(self, devno: tuple[int, int]) -> str:
        """See ``Devices.path``."""
        return f"/dev/{self._node(devno).name}"

    async def size(self, devno: tuple[int, int]) -> int:
        """See ``Devices.size``."""
        return self._node(devno).size

    async def disks(self, iqn: str) -> tuple[ScsiDisk, ...]:
        """See ``Devices.disks``."""
        return tuple(_shown(disk) for disk in self._machine.iscsi_disks(iqn))

    async def identity(self, disk: ScsiDisk) -> ScsiIdentity:
        """See ``Devices.identity``."""
        found = self._find(disk)
        if found is None:
            raise NotFound(f"the disk {disk.name} of {disk.iqn} is gone")
        if found.hung or not found.session.alive():
            raise Unavailable(f"the disk {disk.name} of {disk.iqn} does not answer")
        seen = found.seen()
        if seen is None:
            return ScsiIdentity(serial="", naa="", size=DUMMY_SIZE, read_only=True)
        target, backstore, protected = seen
        serial = target.serial(backstore)
        return ScsiIdentity(serial=serial, naa=naa_of(serial), size=backstore.node.size, read_only=protected)

    async def used(self, path: str) -> str:
        """See ``Devices.used``."""
        node = self._machine.node_at(path)
        if node is None:
            return "cannot open it: No such file or directory"
        if node.claims:
            return "something has it open for itself"
        for offset in (0, node.size - MIB):
            found = await node.io(reading(offset, MIB))
            if found[512:520] == b"LABELONE":
                return "it holds an LVM physical volume"
            if any(found):
                return f"something is written near byte {offset}"
        return ""

    @effect("devices.rescan")
    async def rescan(self, disk: ScsiDisk) -> None:
        """See ``Devices.rescan``."""
        found = self._find(disk)
        if found is None:
            raise NotFound(f"the disk {disk.name} of {disk.iqn} is gone")
        if not found.session.alive():
            raise Unavailable(f"the disk {disk.name} of {disk.iqn} does not answer")
        found.read_capacity()

    @effect("devices.scan")
    async def scan(self, iqn: str) -> None:
        """See ``Devices.scan``."""
        mine = [session for session in self._machine.sessions if session.iqn == iqn]
        if not mine:
            raise NotFound(f"this host has no session to {iqn}")
        for session in mine:
            if not session.disks and session.alive():
                self._found(session)

    def _found(self, session: SimSession) -> None:
        kernel = self._machine.kernel
        minor = kernel.free_minor(SD_MAJOR, 16)
        disk = IscsiDisk(session, f"sd{chr(ord('a') + minor // 16)}", minor)
        if disk.seen() is not None:
            session.disks.append(disk)
            kernel.add(disk)

    @effect("devices.delete")
    async def delete(self, disk: ScsiDisk) -> None:
        """See ``Devices.delete``."""
        found = self._find(disk)
        if found is not None:
            found.gone = True
            found.session.disks.remove(found)
            self._machine.kernel.drop(found)

    @effect("devices.flush")
    async def flush(self, devno: tuple[int, int]) -> None:
        """See ``Devices.flush``. What is simulated has no cache."""
        self._node(devno)

    @effect("devices.zero")
    async def zero(self, devno: tuple[int, int], *, offset: int, length: int) -> None:
        """See ``Devices.zero``."""
        node = self._node(devno)
        try:
            await node.io(zeroing(offset, length))
        except OSError as error:
            raise InternalError(f"zeroing {node.name}: {error}") from error

    def _node(self, devno: tuple[int, int]) -> Node:
        node = self._machine.kernel.nodes.get(devno)
        if node is None:
            raise NotFound(f"there is no block device {devno[0]}:{devno[1]}")
        return node

    def _find(self, disk: ScsiDisk) -> IscsiDisk | None:
        found = self._machine.iscsi_disks(disk.iqn)
        return next((each for each in found if (each.name, each.devno) == (disk.name, disk.devno)), None)


def _shown(disk: IscsiDisk) -> ScsiDisk:
    state = "running" if disk.session.alive() else "blocked" if disk.session.queueing else "transport-offline"
    return ScsiDisk(name=disk.name, devno=disk.devno, iqn=disk.session.iqn, lun=0, state=state)
