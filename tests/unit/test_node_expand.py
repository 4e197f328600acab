"""NodeExpandVolume, NodeGetVolumeStats and NodeGetInfo on simulated hosts."""

import dataclasses

import pytest

from csi_driver.errors import InternalError, NotFound, Precondition, Unavailable
from csi_driver.host.lio import paths
from csi_driver.model.access import FsType
from csi_driver.model.publication import Transport
from csi_driver.model.topology import NODE_KEY, ZONE_KEY
from csi_driver.model.volume import Limits
from csi_driver.node.info import info
from csi_driver.node.requests import ExpandRequest, NodeInfo, StatsRequest
from csi_driver.settings import ConsumerSettings
from csi_driver.testing.faults import KillAt, Killed, Recorder
from tests.unit.node_world import BOTH, EVERY_USE, OTHER, SIZE, STAGING, TARGET, VOLUME, World, published

NOWHERE = ["some/path", "/", "/var/lib/kubelet", "/no/such/path", ""]


async def shown(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> World:
    """Staged and published to a pod."""
    world = await published(transport, fs)
    await world.stage()
    await world.bind()
    return world


async def expand(world: World, path: str = TARGET, *, required: int | None = 2 * SIZE) -> int:
    request = ExpandRequest(volume=str(VOLUME), volume_path=path, limits=Limits(required))
    return await world.plugin.expand(request)


async def size_seen(world: World) -> int:
    """What the pod sees: the file system's size, or the device's."""
    stats = await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=TARGET))
    return stats.bytes.total


@EVERY_USE
async def test_volume_grows_under_a_pod(transport: Transport, fs: FsType | None) -> None:
    world = await shown(transport, fs)
    await world.extend(2 * SIZE)
    assert await expand(world) == 2 * SIZE
    assert await size_seen(world) == 2 * SIZE
    await world.user.write(f"{TARGET}/file" if fs else TARGET, b"data")


@EVERY_USE
async def test_expand_may_be_repeated(transport: Transport, fs: FsType | None) -> None:
    world = await shown(transport, fs)
    await world.extend(2 * SIZE)
    for _ in range(3):
        assert await expand(world) == 2 * SIZE


@EVERY_USE
async def test_expand_by_the_staging_path(transport: Transport, fs: FsType | None) -> None:
    world = await published(transport, fs)
    await world.stage()
    await world.extend(2 * SIZE)
    assert await expand(world, f"{STAGING}/", required=None) == 2 * SIZE
    await world.bind()
    assert await size_seen(world) == 2 * SIZE


@BOTH
async def test_readonly_bind_does_not_stand_in_the_way(transport: Transport) -> None:
    world = await published(transport)
    await world.stage()
    await world.plugin.publish(world.bind_request(readonly=True))
    await world.extend(2 * SIZE)
    await expand(world)
    assert await size_seen(world) == 2 * SIZE


async def test_file_system_is_not_grown_through_a_readonly_bind() -> None:
    """The kernel refuses it there; it grows when it is next staged."""
    world = await published()
    await world.stage()
    await world.plugin.publish(world.bind_request(readonly=True))
    await world.user.mounts.unmount(STAGING)
    await world.extend(2 * SIZE)
    seen = Recorder()
    world.use(seen)
    assert await expand(world) == 2 * SIZE
    assert "fs.grow" not in seen.names


async def test_volume_staged_readonly_keeps_its_file_system() -> None:
    world = World()
    await world.make()
    world.readonly = True
    await world.publish()
    await world.stage()
    await world.bind()
    await world.extend(2 * SIZE)
    assert await expand(world) == 2 * SIZE
    assert await size_seen(world) == SIZE


@EVERY_USE
async def test_device_that_has_not_grown_yet_is_unavailable(transport: Transport, fs: FsType | None) -> None:
    world = await shown(transport, fs)
    with pytest.raises(Unavailable, match="64 MiB"):
        await expand(world)


@pytest.mark.parametrize("path", NOWHERE)
@EVERY_USE
async def test_expand_at_a_path_where_the_volume_is_not(transport: Transport, fs: FsType | None, path: str) -> None:
    world = await shown(transport, fs)
    with pytest.raises(NotFound):
        await expand(world, path)


async def test_expand_of_a_volume_that_is_not_here() -> None:
    world = await shown()
    for volume in ("fake-vol-id", str(OTHER)):
        with pytest.raises(NotFound):
            await world.plugin.expand(ExpandRequest(volume=volume, volume_path=TARGET))


@pytest.mark.parametrize("fs", [FsType.EXT4, None])
async def test_device_that_is_not_the_volume_is_not_grown(fs: FsType | None) -> None:
    world = await shown(fs=fs)
    await world.extend(2 * SIZE)
    serial = f"{paths.backstore(VOLUME)}/wwn"
    world.store.machine.target.root.at(serial).attributes["vpd_unit_serial"] = OTHER.serial
    seen = Recorder()
    world.use(seen)
    with pytest.raises(InternalError, match="is not the volume"):
        await expand(world)
    assert seen.names == ["devices.rescan"]


async def test_expand_while_the_target_is_away() -> None:
    world = await shown()
    await world.extend(2 * SIZE)
    world.network.cut("store", "user")
    with pytest.raises(Unavailable):
        await expand(world)
    world.network.heal("store", "user")
    assert await expand(world) == 2 * SIZE


async def test_expand_of_a_fenced_volume() -> None:
    world = await shown(Transport.LOCAL)
    await world.unpublish()
    with pytest.raises(Precondition, match="ended"):
        await expand(world)


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_of_expand(transport: Transport, fs: FsType | None, when: str) -> None:
    world = await shown(transport, fs)
    await world.extend(2 * SIZE)
    seen = Recorder()
    world.use(seen)
    await expand(world)
    assert seen.names or (transport, fs) == (Transport.LOCAL, None)
    for number in range(1, len(seen.names) + 1):
        world = await shown(transport, fs)
        await world.extend(2 * SIZE)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await expand(world)
        await world.restart()
        await world.user.write(f"{TARGET}/file" if fs else TARGET, b"data")
        assert await expand(world) == 2 * SIZE
        assert await size_seen(world) == 2 * SIZE


# -- stats


@BOTH
async def test_stats_of_a_file_system(transport: Transport) -> None:
    world = await shown(transport)
    await world.user.write(f"{TARGET}/file", bytes(8192))
    for path in (TARGET, STAGING):
        stats = await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=path))
        assert stats.inodes is not None
        assert stats.inodes.total == stats.inodes.used + stats.inodes.available
        assert stats.bytes.total == SIZE
        assert stats.bytes.used is not None
        assert stats.bytes.used >= 8192
        assert stats.bytes.available == SIZE - stats.bytes.used


@BOTH
async def test_stats_of_a_block_volume(transport: Transport) -> None:
    world = await shown(transport, None)
    for path in (TARGET, STAGING):
        stats = await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=path))
        assert stats.bytes.total == SIZE
        assert stats.bytes.used is None
        assert stats.inodes is None


@pytest.mark.parametrize("path", NOWHERE)
@EVERY_USE
async def test_stats_at_a_path_where_the_volume_is_not(transport: Transport, fs: FsType | None, path: str) -> None:
    world = await shown(transport, fs)
    with pytest.raises(NotFound):
        await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=path))


async def test_stats_of_a_volume_that_is_not_here() -> None:
    world = await shown()
    for volume in ("fake-vol-id", str(OTHER)):
        with pytest.raises(NotFound):
            await world.plugin.stats(StatsRequest(volume=volume, volume_path=TARGET))


async def test_stats_of_a_device_that_does_not_answer() -> None:
    world = await shown()
    node = world.user.machine.kernel.named(world.device)
    assert node is not None
    node.hung = True
    with pytest.raises(Unavailable):
        await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=TARGET))


async def test_stats_change_nothing() -> None:
    world = await shown()
    seen = Recorder()
    world.use(seen)
    await world.plugin.stats(StatsRequest(volume=str(VOLUME), volume_path=TARGET))
    assert seen.names == []


# -- info


async def test_info() -> None:
    world = World()
    assert world.plugin.info() == NodeInfo(node="user", max_volumes=0, segments={NODE_KEY: "user"})
    context = dataclasses.replace(world.context, zone="east", settings=ConsumerSettings(max_volumes=100))
    expected = NodeInfo(node="user", max_volumes=100, segments={NODE_KEY: "user", ZONE_KEY: "east"})
    assert info(context) == expected
