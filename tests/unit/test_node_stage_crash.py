"""NodeStageVolume on simulated hosts: deadlines, crashes and failures at every effect."""

import asyncio

import pytest

from csi_driver.errors import (
    Busy,
    InternalError,
    StillWorking,
)
from csi_driver.kit import deadline
from csi_driver.model.access import FsType
from csi_driver.model.publication import Transport
from csi_driver.testing.faults import DelayAt, FailAt, KillAt, Killed, Recorder
from tests.unit.node_world import EVERY_USE, SIZE, STAGING, World, effects_of_stage, published, step


async def test_deadline_ends_the_wait_and_a_retry_joins() -> None:
    world = await published()
    gate = asyncio.Event()
    seen = DelayAt(step(await effects_of_stage(), "iscsi.login"), gate)
    world.use(seen)
    with deadline.expires_in(0.25), pytest.raises(StillWorking):
        await world.stage()
    with pytest.raises(Busy):
        await world.unstage()
    again = asyncio.create_task(world.stage())
    await asyncio.sleep(0)
    gate.set()
    await again
    assert seen.names.count("iscsi.login") == 1


async def test_effects_of_a_stage() -> None:
    assert await effects_of_stage() == [
        "state.put",
        "iscsi.put_record",
        "iscsi.login",
        "devices.scan",
        "dm.create",
        "dm.load",
        "dm.resume",
        "mounts.make_folder",
        "mounts.mount",
        "fs.grow",
        "state.put",
    ]
    assert await effects_of_stage(Transport.LOCAL) == [
        "state.put",
        "mounts.make_folder",
        "mounts.mount",
        "fs.grow",
        "state.put",
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_stage_again(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_stage(transport, fs))
    for number in range(1, total + 1):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.stage()
        await world.restart()
        await world.stage()
        path = f"{STAGING}/file" if fs else f"/dev/mapper/{world.device}"
        await world.user.write(path, b"data")
        assert world.mounts() == ([STAGING] if fs else [])
        assert await world.user.devices.size(await devno(world)) == 2 * SIZE
        await world.unstage()
        assert world.leftovers() == []
        assert world.network.violations == []


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_unstage(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_stage(transport, fs))
    for number in range(1, total + 1):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.stage()
        await world.restart()
        await world.unstage()
        assert world.leftovers() == []


@EVERY_USE
async def test_final_error_at_every_effect_leaves_nothing(transport: Transport, fs: FsType | None) -> None:
    """After a final error Kubernetes need not call unstage."""
    total = len(await effects_of_stage(transport, fs))
    for number in range(2, total):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(FailAt(number, InternalError("broken")))
        with pytest.raises(InternalError, match="broken"):
            await world.stage()
        assert [line for line in world.leftovers() if "attachments" not in line] == []
        world.use(Recorder())
        await world.stage()


async def devno(world: World) -> tuple[int, int]:
    device = await world.user.dm.find(world.device)
    assert device is not None
    return device.devno
