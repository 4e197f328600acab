"""The size is part of a device's identity: what was published, or was seen here, never becomes smaller (DESIGN 4)."""

from __future__ import annotations

import dataclasses

import pytest

from csi_driver.errors import DriverError, InternalError
from csi_driver.host.dm import tables
from csi_driver.host.lio import paths
from csi_driver.model.access import FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import PublishContext, Transport
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.model.volume import Limits
from csi_driver.node.requests import ExpandRequest
from tests.unit.node_world import EVERY_USE, OTHER, SIZE, STAGING, VOLUME, World, published, staged

EVERY_FS = pytest.mark.parametrize("fs", [FsType.EXT4, None])


def told(size: int, world: World) -> dict[str, str]:
    """What ControllerPublishVolume says of a volume of ``size`` bytes."""
    return dataclasses.replace(PublishContext.from_map(world.publish_context()), size=size).to_map()


async def expand(world: World, required: int) -> int:
    request = ExpandRequest(volume=str(VOLUME), volume_path=STAGING, limits=Limits(required=required))
    return await world.plugin.expand(request)


async def truncate(world: World, size: int) -> None:
    """The storage node shows less of the volume than there was."""
    lv = (await world.store.lvm.group("vg0")).volume(str(VOLUME))
    assert lv is not None
    assert lv.devno is not None
    await world.store.dm.load(str(VOLUME), tables.linear(lv.devno, size // SECTOR))
    await world.store.dm.suspend(str(VOLUME))
    await world.store.dm.resume(str(VOLUME))


def show(world: World, volume: VolumeId) -> None:
    """The target says that its disk is ``volume``, whosever data it shows."""
    node = world.store.machine.target.root.at(f"{paths.backstore(VOLUME)}/wwn")
    node.attributes["vpd_unit_serial"] = volume.serial


@EVERY_USE
async def test_device_smaller_than_what_was_published_is_not_staged(transport: Transport, fs: FsType | None) -> None:
    world = await published(transport, fs)
    request = dataclasses.replace(world.stage_request(), publish_context=told(SIZE + 4 * MIB, world))
    with pytest.raises(InternalError, match="is not the volume: it has 64 MiB, at least 68 MiB"):
        await world.plugin.stage(request)
    assert world.mounts() == []
    assert world.leftovers() == []


@EVERY_USE
async def test_device_larger_than_what_was_published_has_grown(transport: Transport, fs: FsType | None) -> None:
    """Kubernetes keeps what was said at publish; the volume may have grown since."""
    world = await published(transport, fs)
    await world.extend(2 * SIZE)
    await world.plugin.stage(dataclasses.replace(world.stage_request(), publish_context=told(SIZE, world)))


@EVERY_USE
async def test_size_once_seen_is_remembered_over_a_reboot(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.extend(2 * SIZE)
    assert await expand(world, 2 * SIZE) == 2 * SIZE
    await world.reboot()
    if transport is Transport.LOCAL:
        await world.store.lvm.activate(str(VOLUME), vg="vg0")
        await world.publish()
    await truncate(world, SIZE)
    with pytest.raises(InternalError, match="is not the volume: it has 64 MiB, at least 128 MiB"):
        await world.stage()


@EVERY_FS
async def test_disk_that_became_smaller_is_not_grown_to(fs: FsType | None) -> None:
    world = await staged(Transport.ISCSI, fs)
    await truncate(world, SIZE // 2)
    before = await world.user.dm.table(world.device)
    with pytest.raises(InternalError, match="is not the volume"):
        await expand(world, 0)
    assert await world.user.dm.table(world.device) == before


@EVERY_FS
async def test_disk_that_is_another_gets_no_byte_more_at_unstage(fs: FsType | None) -> None:
    """failures.md D2: what the page cache still holds must not go to whoever has the place now."""
    world = await staged(Transport.ISCSI, fs)
    path = f"{STAGING}/file" if fs else f"/dev/mapper/{world.device}"
    await world.user.write(path, b"mine")
    show(world, OTHER)
    device = await world.user.dm.find(world.device)
    assert device is not None
    held = world.user.machine.kernel.nodes[device.devno]
    if fs is None:
        held.open()
        with pytest.raises(DriverError):
            await world.unstage()
        # Whoever still has it open is answered with errors, and reaches nobody.
        assert tables.is_error(await world.user.dm.table(world.device))
        held.close()
    await world.unstage()
    assert world.leftovers() == []
    assert world.network.violations == []


async def test_disk_that_cannot_be_asked_is_unstaged_as_before() -> None:
    world = await staged(Transport.ISCSI, FsType.EXT4)
    world.store.power_off()
    await world.unstage()
    assert world.leftovers() == []
