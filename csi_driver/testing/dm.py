"""Simulated device-mapper: the rules of its ioctls as measured in mechanisms.md 1 and 3."""

from __future__ import annotations

import asyncio
import dataclasses
import errno

from csi_driver.errors import Busy, Incompatible, InternalError, NotFound, OutOfRange
from csi_driver.host.doors import DmDevice, DmLine
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.ids import DM_UUID_PREFIX
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import DM_MAJOR, Mapped, PoolNode, Table

NAME_LENGTH = 127
UUID_LENGTH = 128


class SimDm:
    """The door ``Dm`` over a simulated kernel."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    async def devices(self) -> tuple[DmDevice, ...]:
        """See ``Dm.devices``."""
        return tuple(_status(node) for node in self._machine.kernel.mapped() if node.uuid.startswith(DM_UUID_PREFIX))

    async def find(self, name: str) -> DmDevice | None:
        """See ``Dm.find``."""
        node = self._machine.kernel.named(name)
        return _status(node) if node else None

    async def table(self, name: str) -> tuple[DmLine, ...]:
        """See ``Dm.table``."""
        live = self._named(name).live
        return live.lines if live else ()

    async def status(self, name: str) -> tuple[DmLine, ...]:
        """See ``Dm.status``. Of thin pools and linear devices."""
        for node in self._machine.kernel.nodes.values():
            if isinstance(node, PoolNode) and node.dm_name == name:
                return (node.status(),)
        live = self._named(name).live
        return tuple(dataclasses.replace(line, args="") for line in live.lines) if live else ()

    @effect("dm.create")
    async def create(self, name: str, *, uuid: str) -> None:
        """See ``Dm.create``."""
        if not 0 < len(name) <= NAME_LENGTH or "/" in name or len(uuid) > UUID_LENGTH:
            raise InternalError(f"dm create {name}: [Errno {errno.EINVAL}] not a name or uuid that device-mapper takes")
        kernel = self._machine.kernel
        for other in kernel.mapped():
            if other.dm_name == name or (uuid and other.uuid == uuid):
                raise Incompatible(f"a dm device {other.dm_name} with uuid {other.uuid} exists")
        kernel.add(Mapped(kernel.pulse, name, uuid, kernel.free_minor(DM_MAJOR)))

    @effect("dm.load")
    async def load(self, name: str, lines: tuple[DmLine, ...], *, readonly: bool = False) -> None:
        """See ``Dm.load``. Devices below are opened here already."""
        node = self._named(name)
        table = dataclasses.replace(self._open(name, lines), readonly=readonly)
        if not readonly and any(below is not None and below.read_only for below in table.below):
            table.release()
            raise InternalError(f"dm load {name}: [Errno {errno.EROFS}] what lies below is read-only")
        if table.too_long():
            table.release()
            raise OutOfRange(f"the table for {name} is longer than the device below it")
        if node.inactive is not None:
            node.inactive.release()
        node.inactive = table

    def _open(self, name: str, lines: tuple[DmLine, ...]) -> Table:
        try:
            return self._machine.kernel.open_table(lines)
        except OSError as error:
            meaning = Busy if error.errno == errno.EBUSY else InternalError
            raise meaning(f"dm load {name}: {error}") from error

    @effect("dm.suspend")
    async def suspend(self, name: str, *, freeze: bool = False) -> None:
        """See ``Dm.suspend``. A caller that stops waiting leaves it going on; the end of the process undoes it, as a
        signal does in the kernel (mechanisms.md 1).
        """
        node = self._named(name)
        if not node.suspended:
            task = asyncio.ensure_future(self._suspend(node, freeze=freeze))
            self._machine.suspending.add(task)
            task.add_done_callback(self._machine.suspending.discard)
            await asyncio.shield(task)

    @effect("dm.resume")
    async def resume(self, name: str) -> None:
        """See ``Dm.resume``. A table that no longer fits fails, and the device stays suspended."""
        node = self._named(name)
        if node.inactive is not None:
            if not node.suspended:
                node.holding = True
                await node.pulse.until(lambda: node.in_flight == 0)
                node.suspended = True
            if node.inactive.too_long():
                raise InternalError(f"dm resume {name}: [Errno {errno.EINVAL}] Invalid argument; it stays suspended")
            if node.live is not None:
                node.live.release()
            node.live, node.inactive = node.inactive, None
        node.holding = node.suspended = False
        node.pulse.fire()
        await self._thaw(node)

    @effect("dm.rename")
    async def rename(self, name: str, new: str) -> None:
        """See ``Dm.rename``."""
        node = self._named(name)
        if self._machine.kernel.named(new) is not None:
            raise Incompatible(f"a dm device {new} exists")
        node.dm_name = new

    @effect("dm.remove")
    async def remove(self, name: str) -> None:
        """See ``Dm.remove``."""
        node = self._named(name)
        if node.opens:
            raise Busy(f"dm device {name} is held open {node.opens} times")
        drop(self._machine, node)

    async def _suspend(self, node: Mapped, *, freeze: bool) -> None:
        mounted = self._machine.mounted.get(node.devno) if freeze else None
        if mounted is not None:
            try:
                await mounted.freeze()
            except OSError as error:
                raise InternalError(f"dm suspend {node.dm_name}: {error}") from error
        try:
            await _hold(node)
        except BaseException:
            await self._thaw(node)
            raise

    async def _thaw(self, node: Mapped) -> None:
        """Whatever is mounted on it may be written to again; nothing happens to what was not frozen."""
        mounted = self._machine.mounted.get(node.devno)
        if mounted is not None:
            await mounted.thaw()

    def _named(self, name: str) -> Mapped:
        node = self._machine.kernel.named(name)
        if node is None:
            raise NotFound(f"there is no dm device {name}")
        return node


async def _hold(node: Mapped) -> None:
    node.holding = True
    try:
        await node.pulse.until(lambda: node.in_flight == 0)
    except BaseException:
        node.holding = False
        node.pulse.fire()
        raise
    node.suspended = True


def drop(machine: Machine, node: Mapped) -> None:
    """Take a dm device away that nobody holds."""
    for table in (node.live, node.inactive):
        if table is not None:
            table.release()
    machine.kernel.drop(node)


def _status(node: Mapped) -> DmDevice:
    return DmDevice(
        name=node.dm_name,
        uuid=node.uuid,
        devno=node.devno,
        open_count=node.opens,
        suspended=node.suspended,
        has_table=node.live is not None,
        readonly=node.read_only,
    )
