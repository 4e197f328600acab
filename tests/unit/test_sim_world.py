"""The world of the driver tests works: a volume's life in it, and its death and repair at every effect."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.testing.faults import KillAt, Recorder, RepeatAt, When
from tests.driver.nodes import NodeSpec
from tests.driver.world import BLOCK, MOUNT, World

CAPABILITIES = {"mount": MOUNT, "block": BLOCK}


def small() -> World:
    return World.of(NodeSpec(name="a"), NodeSpec(name="b", size=0))


async def life(world: World, kind: str = "mount") -> None:
    """Made, used over the network, moved to the owner, and gone."""
    capability = CAPABILITIES[kind]
    made = await world.until_ok(lambda: world.create("pvc", capability=capability))
    inside = "/file" if kind == "mount" else ""
    for node, word in (("b", b"one"), ("a", b"two")):
        use = await world.use(made.id, node, capability)
        if node == "a":
            assert await world[node].host.read(use.target + inside, 3) == b"one"
        await world[node].host.write(use.target + inside, word)
        await world.let_go(use)
    await world.until_ok(lambda: world.delete(made.id))


@pytest.mark.parametrize("kind", CAPABILITIES)
async def test_life_leaves_nothing(kind: str) -> None:
    async with asyncio.timeout(20), small() as world:
        await life(world, kind)
        assert world.leftovers() == ()
        assert world.network.violations == []


async def count(node: str) -> int:
    """How many effects a life has on a node."""
    recorder = Recorder()
    async with small() as world:
        world[node].host.effects.layer = recorder
        await life(world)
    return len(recorder.seen)


@pytest.mark.parametrize("node", ["a", "b"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_death_at_any_effect_is_recovered_from(node: str, when: When) -> None:
    total = await count(node)
    assert total > 15
    for number in range(1, total + 1):
        killer = KillAt(number, when)
        async with asyncio.timeout(20), small() as world:
            world[node].host.effects.layer = killer
            await life(world)
            assert killer.dead
            assert (await world.cleaned(), world.network.violations) == ((), []), killer.seen[number - 1]


@pytest.mark.parametrize("node", ["a", "b"])
async def test_any_effect_may_run_twice(node: str) -> None:
    for number in range(1, await count(node) + 1):
        async with asyncio.timeout(20), small() as world:
            repeater = RepeatAt(number)
            world[node].host.effects.layer = repeater
            await life(world)
            assert (world.leftovers(), world.network.violations) == ((), []), repeater.seen[number - 1]
