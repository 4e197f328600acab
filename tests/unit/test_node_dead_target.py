"""NodeUnstageVolume on simulated hosts, the target not answering."""

import asyncio

import pytest

from csi_driver.errors import StillWorking, Unavailable
from csi_driver.kit import deadline
from csi_driver.model.access import FsType
from csi_driver.testing.faults import KillAt, Killed, Recorder
from tests.unit.node_world import NEVER, STAGING, VOLUME, World, effects_of_unstage, queue, staged

ISCSI_USE = pytest.mark.parametrize("fs", [FsType.EXT4, None])


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
    await world.context.attachments.release(VOLUME, 9)
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
    order = [name for name in seen.names if name in ("dm.load", "dm.suspend", "iscsi.logout", "dm.resume")]
    assert order[:4] == ["dm.load", "dm.suspend", "iscsi.logout", "dm.resume"]


async def test_logout_is_repeated_until_iscsid_is_back() -> None:
    world = await staged()
    queue(world)
    world.network.cut("store", "user")
    world.user.machine.iscsid = False
    seen = Recorder()
    world.use(seen)
    with deadline.expires_in(0.4), pytest.raises(StillWorking):
        await world.unstage()
    world.user.machine.iscsid = True
    await asyncio.wait_for(world.unstage(), 5)
    assert seen.names.count("dm.suspend") == 1
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


async def effects_of_dead_unstage(world: World) -> list[str]:
    queue(world)
    world.network.cut("store", "user")
    seen = Recorder()
    world.use(seen)
    await asyncio.wait_for(world.unstage(), 5)
    return seen.names


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
