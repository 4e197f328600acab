"""A storage node that loses power under consumers, and what each class of volume makes of it."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.agent import stop
from csi_driver.errors import InvalidRequest, Precondition, Unavailable
from csi_driver.host.lio import paths
from csi_driver.model.access import AccessMode, AccessType, Capability
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import WriteCache
from tests.driver.world import BLOCK, MOUNT, Use, World

READER = Capability(AccessMode.SINGLE_NODE_READER_ONLY, AccessType.BLOCK)
BACK = {"writeCache": "back"}
RESUME = {"writeCache": "back", "afterStorageCrash": "resume"}


async def in_use(world: World, parameters: dict[str, str]) -> Use:
    """A block volume of ``a`` in use on ``c``."""
    made = await world.create("pvc", capability=BLOCK, **parameters)  # type: ignore[arg-type]  # no size among them
    return await world.use(made.id, "c", BLOCK)


async def reboot(world: World) -> None:
    world["a"].crash(power=True)
    world["a"].host.power_on()
    await world["a"].start()


async def write(world: World, use: Use, word: bytes) -> None:
    async with asyncio.timeout(10):
        await world[use.node].host.write(use.target, word)


def identity(use: Use) -> VolumeId:
    parsed = VolumeId.parse(use.volume)
    assert parsed is not None
    return parsed


def entries(world: World, use: Use) -> list[tuple[str, bool]]:
    """Node and mark of each publication in the journal of ``a``."""
    process = world["a"].process
    assert process is not None
    return [(entry.node, entry.unflushed) for entry in process.agent.context.journal.of(identity(use))]


@pytest.mark.parametrize(("parameters", "kind"), [({}, "fileio"), (BACK, "iblock"), (RESUME, "iblock")], ids=str)
async def test_the_class_chooses_the_backstore(world: World, parameters: dict[str, str], kind: str) -> None:
    use = await in_use(world, parameters)
    backstores = world["a"].host.machine.target.backstores
    assert list(backstores) == [paths.backstore(identity(use), paths.Kind(kind))]
    await write(world, use, b"word")
    await world.let_go(use)
    await world.delete(use.volume)
    assert await world.cleaned() == ()


async def test_written_through_nothing_is_lost_and_nobody_is_told(world: World) -> None:
    use = await in_use(world, {})
    await reboot(world)
    assert entries(world, use) == [("c", False)]
    await write(world, use, b"word")


async def test_back_fails_until_it_is_published_and_staged_anew(world: World) -> None:
    use = await in_use(world, BACK)
    await reboot(world)
    assert entries(world, use) == []
    assert world["a"].host.machine.target.backstores == {}
    with pytest.raises((OSError, TimeoutError)):
        await write(world, use, b"late")
    # What Kubernetes does about a pod that fails: it is taken down and set up again.
    old = await world.until_ok(lambda: world.attach(use.volume, "c", BLOCK))
    with pytest.raises((OSError, TimeoutError)):
        await write(world, use, b"late")
    await world.until_ok(lambda: world.unbind(use))
    await world.until_ok(lambda: world.unstage(use))
    await world.until_ok(lambda: world.stage(use, old))
    await world.until_ok(lambda: world.bind(use, old))
    await write(world, use, b"anew")
    await world.let_go(use)
    await world.delete(use.volume)
    assert await world.cleaned() == ()


async def test_a_stage_of_the_publication_that_ended_is_refused(world: World) -> None:
    use = await in_use(world, BACK)
    context = await world.attach(use.volume, "c", BLOCK)
    await reboot(world)
    await world.until_ok(lambda: world.unbind(use))
    await world.until_ok(lambda: world.unstage(use))
    with pytest.raises((Precondition, Unavailable)):
        await world.stage(use, context)


async def test_resume_goes_on_and_says_so(world: World) -> None:
    use = await in_use(world, RESUME)
    await reboot(world)
    assert entries(world, use) == [("c", True)]
    await write(world, use, b"word")
    await reboot(world)
    assert entries(world, use) == [("c", True)]
    await world.let_go(use)
    again = await world.use(use.volume, "c", BLOCK)
    assert entries(world, again) == [("c", False)]


@pytest.mark.parametrize(("capability", "node"), [(BLOCK, "a"), (READER, "c")], ids=["local", "reader"])
async def test_who_did_not_write_over_the_network_has_lost_nothing(
    world: World, capability: Capability, node: str
) -> None:
    made = await world.create("pvc", capability=BLOCK, writeCache="back")
    use = await world.use(made.id, node, capability)
    await reboot(world)
    assert entries(world, use) == [(node, False)]


async def test_a_clean_stop_loses_nothing(world: World) -> None:
    use = await in_use(world, BACK)
    process = world["a"].process
    assert process is not None
    assert await stop.stop_exports(process.agent.context) == 1
    assert world["a"].host.machine.target.backstores == {}
    await reboot(world)
    assert entries(world, use) == [("c", False)]
    await write(world, use, b"word")
    await reboot(world)
    assert entries(world, use) == [], "the mark was of the boot before"


async def test_an_export_after_a_clean_stop_undoes_it(world: World) -> None:
    use = await in_use(world, BACK)
    process = world["a"].process
    assert process is not None
    await stop.stop_exports(process.agent.context)
    await world.attach(use.volume, "c", BLOCK)
    await reboot(world)
    assert entries(world, use) == []


async def test_a_restart_of_the_process_is_no_crash(world: World) -> None:
    use = await in_use(world, BACK)
    world["a"].crash()
    await world.revive()
    assert entries(world, use) == [("c", False)]
    await write(world, use, b"word")


async def test_a_publish_before_the_restore_does_not_hide_the_crash(world: World) -> None:
    use = await in_use(world, RESUME)
    world["a"].crash(power=True)
    world["a"].host.power_on()
    # Its volume group comes later than its process.
    group = world["a"].host.machine.groups.pop("vg0")
    await world["a"].start()
    world["a"].host.machine.groups["vg0"] = group
    await world.until_ok(lambda: world.attach(use.volume, "c", BLOCK))
    assert entries(world, use) == [("c", True)]


async def test_a_policy_without_a_meaning_is_refused(world: World) -> None:
    with pytest.raises(InvalidRequest, match="afterStorageCrash"):
        await world.create("pvc", capability=MOUNT, writeCache="through", afterStorageCrash="resume")


async def test_the_policy_stands_on_the_disk(world: World) -> None:
    use = await in_use(world, RESUME)
    process = world["a"].process
    assert process is not None
    assert (await process.agent.get(identity(use))).write_cache is WriteCache.BACK_RESUME
