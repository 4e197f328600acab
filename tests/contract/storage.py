"""A host's storage doors and the few things that a test does beside them, simulated or real.

The real one is the machine that the tests run on: they destroy what is in its volume group ``vg0``.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from csi_driver.host.dm import KernelDm
from csi_driver.host.doors import Dm, DmDevice, LogicalVolume, Lvm
from csi_driver.host.lvm import LvmShell
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects
from csi_driver.model.sizes import GIB, MIB
from csi_driver.settings import AgentSettings
from csi_driver.testing.dm import SimDm
from csi_driver.testing.lvm import SimLvm
from csi_driver.testing.machine import Machine
from csi_driver.testing.store import reading, writing

VG, POOL = "vg0", "pool"
POOL_SIZE = GIB
MANY, DISKS = "vg1", 4
"""A second volume group, over four disks of 256 MiB."""
LVM_DEVICES = ("^/dev/ubd",)
"""Of a lab host."""
BLOCK = 4096


class Storage(Protocol):
    """What a contract test is handed."""

    lvm: Lvm
    dm: Dm

    def lvm_with(self, effects: Effects) -> Lvm:
        """A second door to the same LVM."""
        ...

    def dm_with(self, effects: Effects) -> Dm:
        """A second door to the same kernel."""
        ...

    def size(self, devno: tuple[int, int]) -> int:
        """Bytes of a device, as the kernel has it."""
        ...

    def hold(self, devno: tuple[int, int]) -> contextlib.AbstractContextManager[None]:
        """Keep a device open, as a process would."""
        ...

    async def write(self, devno: tuple[int, int], offset: int, data: bytes) -> None:
        """Past all caches; whole blocks of 4 KiB. OSError when it fails."""
        ...

    async def read(self, devno: tuple[int, int], offset: int, length: int) -> bytes:
        """Likewise."""
        ...

    async def clear(self) -> None:
        """Take everything away that a test left, the pool apart."""
        ...


class SimStorage:
    """Of a simulated machine with both volume groups."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.machine.add_group(VG, 4 * GIB - 4 * MIB).add_pool(POOL, POOL_SIZE)
        self.machine.add_group(MANY, DISKS * 252 * MIB, disks=DISKS)
        self.lvm: Lvm = self.lvm_with(Effects())
        self.dm: Dm = self.dm_with(Effects())

    def lvm_with(self, effects: Effects) -> Lvm:
        return SimLvm(self.machine, effects)

    def dm_with(self, effects: Effects) -> Dm:
        return SimDm(self.machine, effects)

    def size(self, devno: tuple[int, int]) -> int:
        return self.machine.kernel.nodes[devno].size

    @contextlib.contextmanager
    def hold(self, devno: tuple[int, int]) -> Iterator[None]:
        node = self.machine.kernel.nodes[devno]
        node.open()
        try:
            yield
        finally:
            node.close()

    async def write(self, devno: tuple[int, int], offset: int, data: bytes) -> None:
        await self.machine.kernel.nodes[devno].io(writing(offset, data))

    async def read(self, devno: tuple[int, int], offset: int, length: int) -> bytes:
        return await self.machine.kernel.nodes[devno].io(reading(offset, length))

    async def clear(self) -> None:
        """A machine serves one test."""


class RealStorage:
    """Of the machine we run on, which has both volume groups."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="clinker-lvm-")
        self._doors: list[Lvm] = []
        self.lvm: Lvm = self.lvm_with(Effects())
        self.dm: Dm = self.dm_with(Effects())

    def lvm_with(self, effects: Effects) -> LvmShell:
        folder = Path(self._folder.name) / str(len(self._doors))
        door = LvmShell(folder, AgentSettings(lvm_devices=LVM_DEVICES), effects)
        self._doors.append(door)
        return door

    def dm_with(self, effects: Effects) -> Dm:
        return KernelDm(effects)

    def size(self, devno: tuple[int, int]) -> int:
        return int(Path(f"/sys/dev/block/{devno[0]}:{devno[1]}/size").read_text()) * 512

    @contextlib.contextmanager
    def hold(self, devno: tuple[int, int]) -> Iterator[None]:
        device = os.open(_path(devno), os.O_RDONLY)
        try:
            yield
        finally:
            os.close(device)

    async def write(self, devno: tuple[int, int], offset: int, data: bytes) -> None:
        await blocking.call(lambda: _direct(devno, offset, data))

    async def read(self, devno: tuple[int, int], offset: int, length: int) -> bytes:
        return await blocking.call(lambda: _direct_read(devno, offset, length))

    async def clear(self) -> None:
        self.lvm = self.lvm_with(Effects())  # the test may have closed its own
        try:
            for _ in range(50):
                if await self._cleared():
                    return
                await asyncio.sleep(0.1)
            raise AssertionError("a test left devices that cannot be removed")
        finally:
            for door in self._doors:
                await door.close()
            self._folder.cleanup()

    async def _cleared(self) -> bool:
        """Whether nothing is left; udev's probes may hold a device for a moment."""
        door = KernelDm(Effects())
        for device in await door.devices():
            with contextlib.suppress(Exception):
                if device.suspended:
                    await door.resume(device.name)
                await door.remove(device.name)
        volumes = [lv for vg in (VG, MANY) for lv in (await self.lvm.group(vg)).volumes if lv.name != POOL]
        for lv in volumes:
            with contextlib.suppress(Exception):
                await self.lvm.remove(lv.name, vg=lv.vg)
        return not volumes and not await door.devices()


async def nothing(_: DmDevice) -> bool:
    """That leads to a device but those who have it open."""
    return False


def devno(lv: LogicalVolume | None) -> tuple[int, int]:
    """The device of an LV that must be there and active."""
    assert lv is not None
    assert lv.devno is not None
    return lv.devno


def _path(device: tuple[int, int]) -> str:
    return f"/dev/{Path(f'/sys/dev/block/{device[0]}:{device[1]}').resolve().name}"


def _direct(device: tuple[int, int], offset: int, data: bytes) -> None:
    with mmap.mmap(-1, len(data)) as aligned:
        aligned.write(data)
        file = os.open(_path(device), os.O_RDWR | os.O_DIRECT)
        try:
            os.pwritev(file, [aligned], offset)
            os.fsync(file)
        finally:
            os.close(file)


def _direct_read(device: tuple[int, int], offset: int, length: int) -> bytes:
    with mmap.mmap(-1, length) as aligned:
        file = os.open(_path(device), os.O_RDONLY | os.O_DIRECT)
        try:
            os.preadv(file, [aligned], offset)
        finally:
            os.close(file)
        return aligned.read()
