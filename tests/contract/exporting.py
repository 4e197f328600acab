"""A host that exports volumes and logs in to itself, simulated or real."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

import pytest

from csi_driver.host.configfs import KernelConfigfs
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.dm import tables
from csi_driver.host.doors import Configfs, Devices, Initiator, NodeRecord, ScsiDisk
from csi_driver.host.iscsi.initiator import OpenIscsi
from csi_driver.host.lio import targets
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import HostRunner
from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.testing.configfs import SimConfigfs
from csi_driver.testing.initiator import SimDevices, SimInitiator
from tests.contract.storage import POOL, VG, SimStorage, Storage, devno

VOLUME = VolumeId("a" * 26, "bbbbbbbb")
OTHER = VolumeId("a" * 26, "cccccccc")
SIZE = 64 * MIB
SECRET = Secret("s" * 32)
PATIENCE = 500
"""How often to look for what comes a moment later, 20 ms apart."""


class Exporting(Protocol):
    """What a contract test of the target and the initiator is handed."""

    storage: Storage
    devices: Devices
    initiator: Initiator
    portal: str

    def configfs(self, effects: Effects) -> Configfs:
        """A door to the kernel's target."""
        ...


class SimExporting:
    """Of the simulated machine of a storage."""

    def __init__(self, storage: SimStorage) -> None:
        self.storage: Storage = storage
        self._machine = storage.machine
        self.devices: Devices = SimDevices(storage.machine, Effects())
        self.initiator: Initiator = SimInitiator(storage.machine, Effects())
        self.portal = storage.machine.portal

    def configfs(self, effects: Effects) -> Configfs:
        return SimConfigfs(self._machine, effects)


class RealExporting:
    """Of the machine we run on, which has open-iscsi running."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.devices: Devices = KernelDevices(Effects())
        self.initiator: Initiator = OpenIscsi(HostRunner(), Effects())
        self.portal = f"{_own_address()}:3260"

    def configfs(self, effects: Effects) -> Configfs:
        return KernelConfigfs(effects)


def exporting_of(storage: Storage) -> Exporting:
    """The host that belongs to the storage."""
    return SimExporting(storage) if isinstance(storage, SimStorage) else RealExporting(storage)


async def clear(host: Exporting) -> None:
    """End sessions, remove records and targets that a test left."""
    for session in await host.initiator.sessions():
        await host.initiator.logout(session.iqn)
    for iqn, _ in await host.initiator.records():
        await host.initiator.remove_record(iqn)
    configfs = host.configfs(Effects())
    for volume in await targets.target_volumes(configfs):
        await targets.remove_target(configfs, volume)


@pytest.fixture
async def host(storage: Storage) -> AsyncIterator[Exporting]:
    """A host with a volume group, without exports and sessions."""
    made = exporting_of(storage)
    yield made
    await clear(made)


@pytest.fixture
async def spec(host: Exporting) -> targets.TargetSpec:
    """An order to export a fresh volume to this very host."""
    return await new_spec(host, VOLUME)


async def new_spec(host: Exporting, volume: VolumeId) -> targets.TargetSpec:
    """Make a thin volume with a wrapper over it; the order to export it to this very host."""
    return targets.TargetSpec(
        volume=volume,
        device=host.devices.path(await wrapped(host.storage, str(volume))),
        portals=(host.portal,),
        initiator=await host.initiator.name(),
        chap_user="user",
        secret=SECRET,
    )


async def wrapped(storage: Storage, name: str, size: int = SIZE) -> tuple[int, int]:
    """A thin volume with a wrapper of the same name over it; the wrapper's number."""
    await storage.lvm.create_thin(f"{name}", vg=VG, pool=POOL, size=size, tags=frozenset())
    below = devno((await storage.lvm.group(VG)).volume(name))
    await storage.dm.create(name, uuid=f"CLINKER-{name}")
    await storage.dm.load(name, tables.linear(below, size // SECTOR))
    await storage.dm.resume(name)
    device = await storage.dm.find(name)
    assert device is not None
    return device.devno


def record_of(spec: targets.TargetSpec) -> NodeRecord:
    """What its consumer needs."""
    return NodeRecord(iqn=spec.volume.iqn, portal=spec.portals[0], chap_user=spec.chap_user, secret=spec.secret)


async def logged_in(host: Exporting, spec: targets.TargetSpec) -> ScsiDisk:
    """Export, log in and scan; the disk, which can be opened."""
    await targets.ensure_target(host.configfs(Effects()), spec)
    await host.initiator.put_record(record_of(spec))
    await host.initiator.login(spec.volume.iqn, spec.portals[0])
    await host.devices.scan(spec.volume.iqn)
    for _ in range(PATIENCE):
        if disks := await host.devices.disks(spec.volume.iqn):
            await host.devices.identity(disks[0])  # sysfs shows it before that
            return disks[0]
        await asyncio.sleep(0.02)
    raise AssertionError("the scan found no disk")


def _own_address() -> str:
    """The first IPv4 address of this machine that is not loopback (/proc/net/fib_trie lists them as local hosts)."""
    previous = ""
    for line in Path("/proc/net/fib_trie").read_text().splitlines():
        if "host LOCAL" in line and not previous.startswith("127."):
            return previous
        with contextlib.suppress(IndexError):
            previous = line.split("-- ")[1]
    return "127.0.0.1"
