"""The start of the node plugin's process."""

import asyncio

from csi_driver.errors import CommandFailed
from csi_driver.host.dm import tables
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import SECTOR
from csi_driver.testing.faults import FailAt, Recorder
from tests.unit.node_world import SIZE, STAGING, VOLUME, staged


async def test_start_lets_a_held_wrapper_go() -> None:
    world = await staged(fs=None)
    await world.user.dm.load(world.device, tables.linear((8, 0), SIZE // SECTOR))
    await world.user.dm.suspend(world.device)
    await world.restart()
    await asyncio.wait_for(world.user.write(f"/dev/mapper/{world.device}", b"data"), 5)


async def test_start_touches_nothing_else() -> None:
    world = await staged()
    await world.user.dm.create("half-made", uuid=VOLUME.consumer_uuid(7))
    await world.user.dm.suspend("half-made")
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
