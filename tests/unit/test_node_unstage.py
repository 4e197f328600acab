"""NodeUnstageVolume on simulated hosts, the target answering."""

import asyncio

import pytest

from csi_driver.errors import Busy, CommandFailed, InvalidRequest, Precondition, StillWorking, Unavailable
from csi_driver.host.dm import tables
from csi_driver.kit import deadline
from csi_driver.model.access import FsType
from csi_driver.model.publication import Transport
from csi_driver.node.requests import UnstageRequest
from csi_driver.testing.faults import DelayAt, FailAt, KillAt, Killed, Recorder
from tests.unit.node_world import EVERY_USE, STAGING, TARGET, VOLUME, effects_of_unstage, published, staged


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
    assert world.leftovers() == []


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
    assert world.leftovers() == []
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
    await world.unstage()
    assert await world.user.dm.find(world.device) is not None
    assert len(await world.user.initiator.sessions()) == 1


async def test_slow_local_unmount_is_waited_for() -> None:
    """A large page cache takes its time; there is no session that could be to blame."""
    world = await staged(Transport.LOCAL)
    gate = asyncio.Event()
    seen = DelayAt(1, gate)
    world.use(seen)
    with deadline.expires_in(0.3), pytest.raises(StillWorking):
        await world.unstage()
    gate.set()
    await world.unstage()
    assert seen.names == ["mounts.unmount", "state.remove"]
    assert world.leftovers() == []


# -- crashes


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
