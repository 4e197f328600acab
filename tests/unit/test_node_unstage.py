"""NodeUnstageVolume on simulated hosts."""

import asyncio

import pytest

from csi_driver.errors import Busy, CommandFailed, InvalidRequest, Precondition, StillWorking, Unavailable
from csi_driver.host.dm import tables
from csi_driver.kit import deadline
from csi_driver.model.access import FsType
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import SECTOR
from csi_driver.node.context import Patience
from csi_driver.node.requests import UnstageRequest
from csi_driver.testing.faults import FailAt, KillAt, Killed, Recorder
from tests.unit.node_world import SIZE, STAGING, TARGET, VOLUME, World, published

EVERY_USE = pytest.mark.parametrize(
    ("transport", "fs"), [(transport, fs) for transport in Transport for fs in (FsType.EXT4, None)]
)
ISCSI_USE = pytest.mark.parametrize("fs", [FsType.EXT4, None])
NEVER = Patience(session=3600, look=0.005, busy=0.1, logout=0.01)


async def staged(
    transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4, patience: Patience | None = None
) -> World:
    world = await published(transport, fs) if patience is None else await published(transport, fs, patience)
    await world.stage()
    return world


def queue(world: World) -> None:
    """I/O waits while the session is down, as within ``replacement_timeout``."""
    for session in world.user.machine.sessions:
        session.queueing = True


@EVERY_USE
async def test_nothing_is_left(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.unstage()
    assert world.leftovers() == []
    seen = Recorder()
    world.use(seen)
    await world.unstage()
    assert seen.names == []


async def test_effects_of_an_unstage() -> None:
    assert await effects_of_unstage() == [
        "mounts.unmount",
        "dm.remove",
        "devices.delete",
        "iscsi.logout",
        "iscsi.remove_record",
        "state.remove",
        "state.remove",
    ]
    # The wrapper is the storage side's.
    assert await effects_of_unstage(Transport.LOCAL) == ["mounts.unmount", "state.remove"]


async def test_what_was_written_is_there_when_staged_again() -> None:
    world = await staged()
    await world.user.write(f"{STAGING}/file", b"data")
    await world.unstage()
    await world.publish()
    await world.stage()
    assert await world.user.read(f"{STAGING}/file", 4) == b"data"


async def test_never_staged_is_fine() -> None:
    world = await published()
    await world.unstage()
    assert world.leftovers() == [f"file attachments/{VOLUME}"]


@pytest.mark.parametrize("volume", ["fake-vol-id", "vol-x"])
async def test_id_of_unknown_form_is_fine(volume: str) -> None:
    world = await published()
    await world.plugin.unstage(UnstageRequest(volume=volume, staging_path=STAGING))


async def test_path_must_be_absolute() -> None:
    world = await published()
    with pytest.raises(InvalidRequest):
        await world.unstage("some/path")


async def test_unstage_of_another_path_leaves_the_stage() -> None:
    world = await staged()
    await world.unstage("/var/lib/kubelet/elsewhere")
    assert world.mounts() == [STAGING]
    assert world.context.stages.get(VOLUME) is not None


@EVERY_USE
async def test_published_volume_is_not_unstaged(transport: Transport, fs: FsType | None) -> None:
    world = await staged(transport, fs)
    await world.bind()
    seen = Recorder()
    world.use(seen)
    with pytest.raises(Precondition, match=TARGET):
        await world.unstage()
    assert seen.names == []
    await world.unbind()
    await world.unstage()
    assert world.leftovers() == []


async def test_mount_in_use_is_busy_and_a_retry_ends_it() -> None:
    world = await staged()
    world.user.hold_mount(STAGING)
    with pytest.raises(Busy, match="in use"):
        await world.unstage()
    world.user.let_go(STAGING)
    await world.unstage()
    assert world.leftovers() == []


async def test_device_in_use_is_busy() -> None:
    world = await staged(fs=None)
    node = world.user.machine.kernel.named(world.device)
    assert node is not None
    node.open()
    with pytest.raises(Busy):
        await world.unstage()
    assert len(await world.user.initiator.sessions()) == 1
    node.close()
    await world.unstage()
    assert world.leftovers() == []


async def test_leftovers_without_any_record_are_cleaned() -> None:
    world = await staged()
    world.user.machine.disks.records.clear()
    await world.restart()
    await world.unstage()
    assert world.leftovers() == []


async def test_late_unstage_leaves_a_later_publication_alone() -> None:
    world = await staged()
    await world.unpublish()
    await world.publish(2, secret="t")
    await world.unstage()
    assert world.leftovers() == [f"file attachments/{VOLUME}"]
    held = world.context.attachments.get(VOLUME)
    assert held is not None
    assert held.number == 2
    await world.stage(2)
    assert world.network.violations == []


async def test_late_local_unstage_leaves_a_later_wrapper_alone() -> None:
    world = await staged(Transport.LOCAL)
    await world.unpublish()
    await world.publish(2)
    await world.unstage()
    device = await world.store.dm.find(str(VOLUME))
    assert device is not None
    assert device.uuid == VOLUME.wrapper_uuid(2)
    assert not tables.is_error(await world.store.dm.table(str(VOLUME)))
    assert world.mounts() == []


async def test_newer_device_is_not_taken_by_a_late_unstage() -> None:
    """The record is of publication 1; the device on the node is of publication 2."""
    world = await staged(fs=None)
    node = world.user.machine.kernel.named(world.device)
    assert node is not None
    node.uuid = VOLUME.consumer_uuid(2)
    seen = Recorder()
    world.use(seen)
    await world.unstage()
    assert "dm.remove" not in seen.names


# -- a target that does not answer


@ISCSI_USE
async def test_dead_session_is_let_go(fs: FsType | None) -> None:
    world = await staged(fs=fs)
    queue(world)
    world.network.cut("store", "user")
    await asyncio.wait_for(world.unstage(), 5)
    assert world.leftovers() == []


async def test_waiting_writer_gets_an_error_and_not_a_hang() -> None:
    world = await staged(fs=None)
    queue(world)
    world.network.cut("store", "user")
    writer = asyncio.create_task(world.user.write(f"/dev/mapper/{world.device}", b"data"))
    await asyncio.sleep(0.01)
    await asyncio.wait_for(world.unstage(), 5)
    with pytest.raises(OSError, match="No such device"):
        await writer
    assert world.leftovers() == []


async def test_waiting_writer_goes_on_after_a_short_outage() -> None:
    world = await staged(fs=None, patience=NEVER)
    queue(world)
    world.network.cut("store", "user")
    writer = asyncio.create_task(world.user.write(f"/dev/mapper/{world.device}", b"data"))
    await asyncio.sleep(0.01)
    with deadline.expires_in(0.3), pytest.raises(StillWorking):
        await world.unstage()
    world.network.heal("store", "user")
    await writer
    await asyncio.wait_for(world.unstage(), 5)
    assert world.leftovers() == []


@ISCSI_USE
async def test_powered_off_target_is_survived(fs: FsType | None) -> None:
    world = await staged(fs=fs)
    queue(world)
    world.store.power_off()
    await asyncio.wait_for(world.unstage(), 5)
    assert world.leftovers() == []


async def test_fenced_consumer_does_not_wait() -> None:
    """Its publication is over (the secret was taken back): nobody lets it in any more."""
    world = await staged(patience=NEVER)
    queue(world)
    await world.unpublish()
    await world.context.attachments.release(VOLUME)
    await asyncio.wait_for(world.unstage(), 5)
    assert world.leftovers() == []


async def test_short_outage_loses_nothing() -> None:
    """While the publication stands, an unstage waits for the target: the page cache may hold the only copy."""
    world = await staged(patience=NEVER)
    queue(world)
    world.network.cut("store", "user")
    seen = Recorder()
    world.use(seen)
    with deadline.expires_in(0.3), pytest.raises(StillWorking):
        await world.unstage()
    assert "dm.load" not in seen.names
    world.network.heal("store", "user")
    await asyncio.wait_for(world.unstage(), 5)
    assert "dm.load" not in seen.names
    assert world.leftovers() == []


async def test_error_table_comes_after_the_logout() -> None:
    world = await staged()
    queue(world)
    world.network.cut("store", "user")
    seen = Recorder()
    world.use(seen)
    await asyncio.wait_for(world.unstage(), 5)
    order = [name for name in seen.names if name in ("dm.suspend", "iscsi.logout", "dm.resume")]
    assert order[:3] == ["dm.suspend", "iscsi.logout", "dm.resume"]


async def test_logout_is_repeated_until_iscsid_is_back() -> None:
    world = await staged()
    queue(world)
    world.network.cut("store", "user")
    world.user.machine.iscsid = False
    with deadline.expires_in(0.4), pytest.raises(StillWorking):
        await world.unstage()
    world.user.machine.iscsid = True
    await asyncio.wait_for(world.unstage(), 5)
    assert world.leftovers() == []


async def test_without_iscsid_a_healthy_volume_is_unavailable_and_a_retry_ends_it() -> None:
    world = await staged()
    world.user.machine.iscsid = False
    with pytest.raises(Unavailable):
        await world.unstage()
    world.user.machine.iscsid = True
    await world.unstage()
    assert world.leftovers() == []


async def test_stage_after_ended_io_begins_anew() -> None:
    """The unstage ended the I/O, and was cut short by a crash before it had unmounted."""
    world = await staged()
    queue(world)
    await end_with_crash(world, "dm.resume")
    world.network.heal("store", "user")
    await world.restart()
    await world.stage()
    await world.user.write(f"{STAGING}/file", b"data")
    await world.unstage()
    assert world.leftovers() == []


async def end_with_crash(world: World, name: str) -> None:
    """Cut the link and unstage until the process dies after the effect ``name``."""
    twin = await staged()
    queue(twin)
    names = await effects_of_dead_unstage(twin)
    world.network.cut("store", "user")
    world.use(KillAt(names.index(name) + 1, "after"))
    with pytest.raises(Killed):
        await asyncio.wait_for(world.unstage(), 5)


# -- crashes


async def effects_of_unstage(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> list[str]:
    world = await staged(transport, fs)
    seen = Recorder()
    world.use(seen)
    await world.unstage()
    return seen.names


async def effects_of_dead_unstage(world: World) -> list[str]:
    queue(world)
    world.network.cut("store", "user")
    seen = Recorder()
    world.use(seen)
    await asyncio.wait_for(world.unstage(), 5)
    return seen.names


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_unstage_again(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_unstage(transport, fs))
    for number in range(1, total + 1):
        world = await staged(transport, fs)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.unstage()
        await world.restart()
        await world.unstage()
        assert world.leftovers() == []


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_stage_again(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_unstage(transport, fs))
    for number in range(1, total + 1):
        world = await staged(transport, fs)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.unstage()
        await world.restart()
        if transport is Transport.ISCSI and world.context.attachments.get(VOLUME) is None:
            with pytest.raises(Unavailable):
                await world.stage()
            await world.context.attachments.hold(world.attachment())
        await world.stage()
        assert world.mounts() == ([STAGING] if fs else [])
        await world.unstage()
        assert world.leftovers() == []


@pytest.mark.parametrize("when", ["before", "after"])
@ISCSI_USE
async def test_crash_at_every_effect_over_a_dead_session(fs: FsType | None, when: str) -> None:
    total = len(await effects_of_dead_unstage(await staged(fs=fs)))
    assert total > len(await effects_of_unstage(fs=fs)) or fs is None
    for number in range(1, total + 1):
        world = await staged(fs=fs)
        queue(world)
        world.network.cut("store", "user")
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await asyncio.wait_for(world.unstage(), 5)
        await world.restart()
        await asyncio.wait_for(world.unstage(), 5)
        assert world.leftovers() == []


@EVERY_USE
async def test_failure_of_every_effect_then_unstage_again(transport: Transport, fs: FsType | None) -> None:
    total = len(await effects_of_unstage(transport, fs))
    for number in range(1, total + 1):
        world = await staged(transport, fs)
        world.use(FailAt(number, CommandFailed("program", 1, "broken")))
        with pytest.raises(CommandFailed):
            await world.unstage()
        await world.unstage()
        assert world.leftovers() == []


async def test_reboot_then_unstage() -> None:
    world = await staged()
    await world.reboot()
    await world.unstage()
    assert world.leftovers() == []


# -- the start of the process


async def test_start_lets_a_held_wrapper_go() -> None:
    world = await staged(fs=None)
    await world.user.dm.load(world.device, tables.linear((8, 0), SIZE // SECTOR))
    await world.user.dm.suspend(world.device)
    await world.restart()
    await asyncio.wait_for(world.user.write(f"/dev/mapper/{world.device}", b"data"), 5)


async def test_start_touches_nothing_else() -> None:
    world = await staged()
    await world.user.dm.create("half-made", uuid=VOLUME.consumer_uuid(7))
    seen = Recorder()
    await world.restart(seen)
    assert seen.names == []
    assert world.mounts() == [STAGING]


async def test_start_leaves_the_storage_sides_wrappers_to_it() -> None:
    world = await staged(Transport.LOCAL)
    await world.store.dm.suspend(str(VOLUME))
    seen = Recorder()
    await world.restart(seen)
    assert seen.names == []


async def test_start_survives_a_wrapper_that_cannot_be_let_go() -> None:
    world = await staged()
    await world.user.dm.suspend(world.device)
    await world.restart(FailAt(1, CommandFailed("dm", 5, "broken")))
    device = await world.user.dm.find(world.device)
    assert device is not None
    assert device.suspended
