"""What every ``Mounts`` and every ``Filesystems`` door do, over a device-mapper device of ours."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Protocol

import pytest

from csi_driver.errors import Busy, DriverError
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.dm import tables
from csi_driver.host.doors import Devices, Filesystems, Formatter, Mount, Mounts
from csi_driver.host.filesystems import KernelFilesystems
from csi_driver.host.formatter import Mkfs
from csi_driver.host.mounts.kernel import KernelMounts
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import HostRunner
from csi_driver.model.access import FsType
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.testing.filesystems import SimFilesystems, SimFormatter
from csi_driver.testing.initiator import SimDevices
from csi_driver.testing.mounts import SimMounts
from tests.contract.exporting import wrapped
from tests.contract.storage import VG, SimStorage, Storage, devno

SIZE = 320 * MIB
"""mkfs.xfs makes nothing below 300 MiB."""
NAME = "vol-mounted"
EVERY_FS = pytest.mark.parametrize("fs", list(FsType))


class Mounting(Protocol):
    """What a test here is handed."""

    mounts: Mounts
    filesystems: Filesystems
    formatter: Formatter
    devices: Devices


class SimMounting:
    def __init__(self, storage: SimStorage) -> None:
        self.mounts: Mounts = SimMounts(storage.machine, Effects())
        self.filesystems: Filesystems = SimFilesystems(storage.machine, Effects())
        self.formatter: Formatter = SimFormatter(storage.machine, Effects())
        self.devices: Devices = SimDevices(storage.machine, Effects())


class RealMounting:
    def __init__(self) -> None:
        runner = HostRunner()
        self.mounts: Mounts = KernelMounts(Effects())
        self.filesystems: Filesystems = KernelFilesystems(runner, Effects())
        self.formatter: Formatter = Mkfs(runner, Effects())
        self.devices: Devices = KernelDevices(Effects())


@pytest.fixture
async def host(storage: Storage) -> AsyncIterator[Mounting]:
    made: Mounting = SimMounting(storage) if isinstance(storage, SimStorage) else RealMounting()
    yield made
    for mount in reversed(await made.mounts.table()):
        if mount.target.startswith("/tmp/clinker-contract-"):
            await made.mounts.unmount(mount.target)


@pytest.fixture
async def folder(host: Mounting) -> str:
    """An empty directory."""
    path = f"/tmp/clinker-contract-{secrets.token_hex(4)} with blanks"
    await host.mounts.make_folder(path)
    return path


async def formatted(storage: Storage, host: Mounting, fs: FsType) -> tuple[int, int]:
    device = await wrapped(storage, NAME, SIZE)
    await host.formatter.make(host.devices.path(device), fs=fs, options=())
    return device


async def mounted(host: Mounting, device: tuple[int, int], target: str, fs: FsType, *options: str) -> Mount:
    await host.mounts.mount(host.devices.path(device), target, fs=fs, options=options)
    return await topmost(host, target)


async def topmost(host: Mounting, target: str) -> Mount:
    return [mount for mount in await host.mounts.table() if mount.target == target][-1]


async def is_mounted(host: Mounting, target: str) -> bool:
    return target in {mount.target for mount in await host.mounts.table()}


@EVERY_FS
async def test_a_file_system_is_mounted_and_unmounted(
    storage: Storage, host: Mounting, folder: str, fs: FsType
) -> None:
    device = await formatted(storage, host, fs)
    mount = await mounted(host, device, folder, fs, "noatime")
    assert (mount.devno, mount.root, mount.fs) == (device, "/", fs.value)
    assert {"rw", "noatime"} <= mount.options
    with pytest.raises(Busy):
        await host.mounts.remove(folder)
    for _ in range(2):
        await host.mounts.unmount(folder)
    assert not await is_mounted(host, folder)
    for _ in range(2):
        await host.mounts.remove(folder)
    assert not await host.mounts.exists(folder)


@EVERY_FS
async def test_read_only_is_read_only(storage: Storage, host: Mounting, folder: str, fs: FsType) -> None:
    device = await formatted(storage, host, fs)
    mount = await mounted(host, device, folder, fs, "ro")
    assert "ro" in mount.options


async def test_options_of_the_file_system_reach_it(storage: Storage, host: Mounting, folder: str) -> None:
    device = await formatted(storage, host, FsType.EXT4)
    mount = await mounted(host, device, folder, FsType.EXT4, "errors=remount-ro", "nosuid")
    assert "errors=remount-ro" in mount.super_options
    assert "nosuid" in mount.options


async def test_what_holds_no_file_system_is_not_mounted(storage: Storage, host: Mounting, folder: str) -> None:
    device = await wrapped(storage, NAME, SIZE)
    for fs in FsType:
        with pytest.raises(DriverError):
            await host.mounts.mount(host.devices.path(device), folder, fs=fs, options=())
        with pytest.raises(DriverError):
            await host.filesystems.size(host.devices.path(device), fs=fs)
    assert not await is_mounted(host, folder)


async def test_a_mount_needs_its_device_and_its_target(storage: Storage, host: Mounting, folder: str) -> None:
    device = await formatted(storage, host, FsType.EXT4)
    with pytest.raises(DriverError):
        await host.mounts.mount(host.devices.path(device), f"{folder}/none", fs=FsType.EXT4, options=())
    with pytest.raises(DriverError):
        await host.mounts.mount("/dev/clinker-none", folder, fs=FsType.EXT4, options=())


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_directory_is_bound(storage: Storage, host: Mounting, folder: str, readonly: bool) -> None:
    device = await formatted(storage, host, FsType.EXT4)
    await mounted(host, device, folder, FsType.EXT4)
    target = f"{folder}-bound"
    await host.mounts.make_folder(target)
    await host.mounts.bind(folder, target, readonly=readonly)
    bound = await topmost(host, target)
    assert (bound.devno, bound.root) == (device, "/")
    assert ("ro" in bound.options) is readonly
    assert "rw" in (await topmost(host, folder)).options
    await host.mounts.unmount(target)
    await host.mounts.remove(target)
    assert await is_mounted(host, folder)


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_device_is_bound_on_a_file(storage: Storage, host: Mounting, folder: str, readonly: bool) -> None:
    device = await wrapped(storage, NAME, SIZE)
    target = f"{folder}/device"
    for _ in range(2):
        await host.mounts.make_file(target)
    assert await host.mounts.device_at(target) is None
    await host.mounts.bind(host.devices.path(device), target, readonly=readonly)
    assert await host.mounts.device_at(target) == device
    mount = await topmost(host, target)
    assert mount.fs == "devtmpfs"
    assert mount.root == host.devices.path(device).removeprefix("/dev")
    assert ("ro" in mount.options) is readonly
    await host.mounts.unmount(target)
    await host.mounts.remove(target)
    assert not await host.mounts.exists(target)


async def test_a_bind_needs_both_ends(host: Mounting, folder: str) -> None:
    with pytest.raises(DriverError):
        await host.mounts.bind(f"{folder}/none", folder, readonly=False)
    with pytest.raises(DriverError):
        await host.mounts.bind(folder, f"{folder}/none", readonly=False)


async def test_directories_and_files_are_told_apart(host: Mounting, folder: str) -> None:
    await host.mounts.make_folder(folder)
    with pytest.raises(DriverError):
        await host.mounts.make_file(folder)
    file = f"{folder}/file"
    await host.mounts.make_file(file)
    with pytest.raises(DriverError):
        await host.mounts.make_folder(file)
    with pytest.raises(DriverError):
        await host.mounts.remove(folder)
    assert await host.mounts.exists(file)
    assert await host.mounts.device_at(file) is None
    await host.mounts.remove(file)
    assert await host.mounts.device_at(file) is None


async def test_usage_adds_up(storage: Storage, host: Mounting, folder: str) -> None:
    device = await formatted(storage, host, FsType.EXT4)
    await mounted(host, device, folder, FsType.EXT4)
    usage = await host.mounts.usage(folder)
    assert SIZE // 2 < usage.total <= SIZE
    assert 0 < usage.available <= usage.total - usage.used
    assert usage.inodes == usage.inodes_used + usage.inodes_free
    with pytest.raises(DriverError):
        await host.mounts.usage(f"{folder}-none/none")


@EVERY_FS
async def test_a_file_system_grows_to_its_device(storage: Storage, host: Mounting, folder: str, fs: FsType) -> None:
    device = await formatted(storage, host, fs)
    path = host.devices.path(device)
    await mounted(host, device, folder, fs)
    assert await host.filesystems.size(path, fs=fs) == SIZE
    await grow_device(storage)
    for _ in range(2):
        await host.filesystems.grow(path, mountpoint=folder, fs=fs)
    assert (await host.mounts.usage(folder)).total > SIZE
    await host.mounts.unmount(folder)
    assert await host.filesystems.size(path, fs=fs) == 2 * SIZE


@EVERY_FS
async def test_what_is_not_mounted_does_not_grow(storage: Storage, host: Mounting, folder: str, fs: FsType) -> None:
    device = await formatted(storage, host, fs)
    path = host.devices.path(device)
    await grow_device(storage)
    with pytest.raises(DriverError):
        await host.filesystems.grow(path, mountpoint=folder, fs=fs)
    assert await host.filesystems.size(path, fs=fs) == SIZE


async def grow_device(storage: Storage) -> None:
    """The volume and its wrapper have twice the size."""
    await storage.lvm.extend(NAME, vg=VG, size=2 * SIZE, metadata_only=False)
    below = devno((await storage.lvm.group(VG)).volume(NAME))
    await storage.dm.load(NAME, tables.linear(below, 2 * SIZE // SECTOR))
    await storage.dm.suspend(NAME)
    await storage.dm.resume(NAME)
