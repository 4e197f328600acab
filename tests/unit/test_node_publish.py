"""NodePublishVolume and NodeUnpublishVolume on simulated hosts."""

import dataclasses

import pytest

from csi_driver.errors import Busy, Incompatible, InvalidRequest, NotFound, Precondition
from csi_driver.host import wrapper
from csi_driver.model.access import AccessMode, FsType
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import SECTOR
from csi_driver.node.requests import UnbindRequest
from csi_driver.testing.faults import KillAt, Killed, Recorder
from tests.unit.node_world import BOTH, EVERY_USE, OTHER, SECOND, SIZE, STAGING, TARGET, VOLUME, World, published

ONE_PATH = [
    AccessMode.SINGLE_NODE_WRITER,
    AccessMode.SINGLE_NODE_READER_ONLY,
    AccessMode.SINGLE_NODE_SINGLE_WRITER,
]


async def staged(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> World:
    world = await published(transport, fs)
    await world.stage()
    return world


@EVERY_USE
async def test_published_volume_can_be_written(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.bind()
    path = f"{TARGET}/file" if fs else TARGET
    await world.user.write(path, b"data")
    assert await world.user.read(f"{STAGING}/file" if fs else f"/dev/mapper/{world.device}", 4) == b"data"


@EVERY_USE
async def test_publish_again_changes_nothing(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.bind()
    seen = Recorder()
    world.use(seen)
    await world.bind()
    assert seen.names == []


@EVERY_USE
async def test_readonly_is_readonly_and_not_the_same(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.plugin.publish(world.bind_request(readonly=True))
    await world.plugin.publish(world.bind_request(readonly=True))
    mount = next(mount for mount in world.user.machine.mounts if mount.target == TARGET)
    assert "ro" in mount.options
    with pytest.raises(Incompatible):
        await world.bind()


async def test_pod_cannot_write_through_a_readonly_publish() -> None:
    world = await staged()
    await world.plugin.publish(world.bind_request(readonly=True))
    await world.bind(SECOND)
    await world.user.write(f"{SECOND}/file", b"data")
    with pytest.raises(OSError, match="Read-only"):
        await world.user.write(f"{TARGET}/file", b"data")


@EVERY_USE
@pytest.mark.parametrize("mode", ONE_PATH)
async def test_modes_for_one_path(transport: Transport, fs: FsType | None, mode: AccessMode) -> None:
    world = await staged(transport, fs)
    await world.plugin.publish(world.bind_request(mode=mode))
    await world.plugin.publish(world.bind_request(mode=mode))
    with pytest.raises(Precondition, match=TARGET):
        await world.plugin.publish(world.bind_request(SECOND, mode=mode))
    await world.unbind()
    await world.plugin.publish(world.bind_request(SECOND, mode=mode))


@EVERY_USE
async def test_mode_for_several_pods(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.bind(TARGET)
    await world.bind(SECOND)
    assert {TARGET, SECOND} <= set(world.mounts())


@EVERY_USE
async def test_unpublish_takes_mount_and_path(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.bind()
    await world.bind(SECOND)
    await world.unbind()
    assert not await world.user.mounts.exists(TARGET)
    assert SECOND in world.mounts()
    await world.unbind()
    await world.unbind(SECOND)
    await world.unstage()
    assert world.leftovers() == []


async def test_volume_can_be_published_anew_at_the_same_path() -> None:
    world = await staged()
    await world.bind()
    await world.unbind()
    await world.bind()
    assert TARGET in world.mounts()


# -- what is bound is the volume


@EVERY_USE
async def test_volume_that_is_not_staged_is_not_published(transport: Transport, fs: FsType | None) -> None:
    """failures.md D5: the pod would write to the node's own disk."""
    world = await published(transport, fs)
    await world.user.mounts.make_folder(STAGING)
    seen = Recorder()
    world.use(seen)
    with pytest.raises(Precondition):
        await world.bind()
    assert seen.names == []


@EVERY_USE
async def test_wrong_staging_path_is_refused(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.user.mounts.make_folder("/var/lib/kubelet/elsewhere")
    with pytest.raises(Precondition, match="elsewhere"):
        await world.plugin.publish(world.bind_request(staging="/var/lib/kubelet/elsewhere"))


async def test_missing_staging_path_is_refused() -> None:
    world = await staged()
    with pytest.raises(Precondition, match="stage the volume first"):
        await world.plugin.publish(world.bind_request(staging=""))


@BOTH
async def test_staging_path_that_was_unmounted_is_refused(transport: Transport) -> None:
    world = await staged(transport)
    await world.user.mounts.unmount(STAGING)
    with pytest.raises(Precondition, match="not mounted"):
        await world.bind()


async def test_staging_path_with_another_device_is_refused() -> None:
    world = await staged()
    world.user.add_group("vg1")
    await world.user.lvm.create_thick("lv", vg="vg1", size=SIZE, tags=frozenset())
    await world.user.formatter.make("/dev/mapper/vg1-lv", fs=FsType.EXT4, options=())
    await world.user.mounts.mount("/dev/mapper/vg1-lv", STAGING, fs=FsType.EXT4, options=())
    with pytest.raises(Precondition, match="not mounted"):
        await world.bind()


@BOTH
async def test_stage_of_another_publication_is_refused(transport: Transport) -> None:
    world = await staged(transport)
    with pytest.raises(Precondition, match="publication 2 is not staged"):
        await world.plugin.publish(world.bind_request(number=2))


async def test_fenced_volume_is_refused() -> None:
    world = await staged(Transport.LOCAL)
    await world.unpublish()
    with pytest.raises(Precondition, match="ended"):
        await world.bind()


async def test_file_system_that_has_stopped_writing_is_refused() -> None:
    """failures.md I4: the mount table may still say rw."""
    world = await staged()
    world.network.cut("store", "user")
    with pytest.raises(OSError, match=r"."):
        await world.user.write(f"{STAGING}/file", b"data")
    world.network.heal("store", "user")
    with pytest.raises(Precondition, match="takes no writes"):
        await world.bind()
    await world.plugin.publish(world.bind_request(readonly=True))


async def test_volume_staged_readonly_is_published_readonly() -> None:
    world = World()
    await world.make()
    world.readonly = True
    await world.publish()
    await world.stage()
    await world.bind()
    await world.bind()
    mount = next(mount for mount in world.user.machine.mounts if mount.target == TARGET)
    assert "ro" in mount.options


async def test_target_path_with_something_else_is_left_alone() -> None:
    world = await staged()
    world.user.add_group("vg1")
    await world.user.lvm.create_thick("lv", vg="vg1", size=SIZE, tags=frozenset())
    await world.user.formatter.make("/dev/mapper/vg1-lv", fs=FsType.EXT4, options=())
    await world.user.mounts.make_folder(TARGET)
    await world.user.mounts.mount("/dev/mapper/vg1-lv", TARGET, fs=FsType.EXT4, options=())
    with pytest.raises(Precondition, match="left alone"):
        await world.bind()
    with pytest.raises(Precondition, match="left alone"):
        await world.unbind()
    assert TARGET in world.mounts()


# -- requests


@pytest.mark.parametrize("volume", ["fake-vol-id", ""])
async def test_id_of_unknown_form(volume: str) -> None:
    world = await staged()
    with pytest.raises(NotFound):
        await world.plugin.publish(dataclasses.replace(world.bind_request(), volume=volume))
    await world.plugin.unpublish(UnbindRequest(volume=volume, target_path=TARGET))


async def test_relative_paths_are_refused() -> None:
    world = await staged()
    with pytest.raises(InvalidRequest, match="target_path"):
        await world.bind("some/path")
    with pytest.raises(InvalidRequest, match="target_path"):
        await world.unbind("some/path")


async def test_foreign_publish_context_is_refused() -> None:
    world = await staged()
    with pytest.raises(InvalidRequest, match="publish_context"):
        await world.plugin.publish(dataclasses.replace(world.bind_request(), publish_context={}))


async def test_unpublish_of_what_was_never_published_is_fine() -> None:
    world = await staged()
    await world.unbind()
    await world.plugin.unpublish(UnbindRequest(volume=str(OTHER), target_path=TARGET))


async def test_unpublish_takes_an_empty_path_that_nothing_is_mounted_on() -> None:
    world = await staged()
    await world.user.mounts.make_folder(TARGET)
    await world.unbind()
    assert not await world.user.mounts.exists(TARGET)


@BOTH
async def test_target_path_in_use_is_busy(transport: Transport) -> None:
    world = await staged(transport)
    await world.bind()
    world.user.hold_mount(TARGET)
    with pytest.raises(Busy, match="in use"):
        await world.unbind()
    world.user.let_go(TARGET)
    await world.unbind()
    assert world.mounts() == [STAGING]


async def test_bind_of_a_device_that_is_gone_is_taken_away() -> None:
    """A fence took the wrapper, nobody had it open, and its number went to another volume."""
    world = await staged(Transport.LOCAL, None)
    await world.bind()
    await world.unpublish()
    assert await world.store.dm.find(str(VOLUME)) is None
    await world.make(OTHER)
    lv = (await world.store.lvm.group("vg0")).volume(str(OTHER))
    assert lv is not None
    assert lv.devno is not None
    await wrapper.ensure(world.store.dm, str(OTHER), uuid=OTHER.wrapper_uuid(1), over=lv.devno, sectors=SIZE // SECTOR)
    await world.unbind()
    await world.unstage()
    assert world.mounts() == []


# -- crashes


async def effects(world: World, verb: str) -> list[str]:
    seen = Recorder()
    world.use(seen)
    await (world.bind() if verb == "bind" else world.unbind())
    return seen.names


async def test_effects() -> None:
    world = await staged()
    assert await effects(world, "bind") == ["mounts.make_folder", "mounts.bind"]
    assert await effects(world, "unbind") == ["mounts.unmount", "mounts.remove"]


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_of_publish(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects(await staged(transport, fs), "bind"))
    for number in range(1, total + 1):
        for again in (True, False):
            world = await staged(transport, fs)
            world.use(KillAt(number, "before" if when == "before" else "after"))
            with pytest.raises(Killed):
                await world.bind()
            await world.restart()
            if again:
                await world.bind()
                await world.user.write(f"{TARGET}/file" if fs else TARGET, b"data")
            await world.unbind()
            assert not await world.user.mounts.exists(TARGET)
            await world.unstage()
            assert world.leftovers() == []


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_of_unpublish(transport: Transport, fs: FsType | None, when: str) -> None:
    world = await staged(transport, fs)
    await world.bind()
    for number in range(1, len(await effects(world, "unbind")) + 1):
        world = await staged(transport, fs)
        await world.bind()
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.unbind()
        await world.restart()
        await world.unbind()
        assert not await world.user.mounts.exists(TARGET)
        await world.unstage()
        assert world.leftovers() == []
