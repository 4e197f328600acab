"""A raw block volume that is fenced on its own node: what still leads to the dead device never leads to another.

A bind of a device node, and a node that a container runtime has made, hold nothing open: only a number. While such
a thing may stand the number must not be given to another volume.
"""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import Precondition
from csi_driver.testing.host import SimHost
from tests.driver.nodes import NodeSpec
from tests.driver.world import BLOCK, Use, World


async def fenced(world: World) -> Use:
    """A volume that was bound for a pod, with nobody who has it open, and then fenced without NodeUnstage."""
    volume = await world.create("first", capability=BLOCK)
    use = await world.use(volume.id, "a", BLOCK)
    await world.detach(volume.id, "a")
    return use


async def another(world: World) -> Use:
    volume = await world.until_ok(lambda: world.create("second", capability=BLOCK))
    use = await world.use(volume.id, "a", BLOCK)
    await world["a"].host.write(use.target, b"second")
    return use


def severed(host: SimHost) -> list[str]:
    return [name for name in host.leftovers() if ".fenced." in name]


async def assert_cut_off(world: World, use: Use, other: Use) -> None:
    host = world["a"].host
    with pytest.raises(OSError, match="error"):
        await host.write(use.target, b"stolen")
    assert await host.read(other.target, 6) == b"second"


async def test_a_write_through_the_old_node_fails_and_reaches_no_other_volume() -> None:
    async with World.of(NodeSpec(name="a")) as world:
        use = await fenced(world)
        other = await another(world)
        await assert_cut_off(world, use, other)


async def test_the_dead_device_goes_when_nothing_leads_to_it_any_more() -> None:
    async with World.of(NodeSpec(name="a")) as world:
        use = await fenced(world)
        await world.unbind(use)
        await world.detach(use.volume, "a")
        # The stage stands: a container may have a node of its own that no mount table shows.
        assert len(severed(world["a"].host)) == 1
        await world.unstage(use)
        await world.detach(use.volume, "a")
        assert not severed(world["a"].host)
        await world.delete(use.volume)
        assert not world.leftovers()


async def test_a_bind_alone_keeps_the_dead_device() -> None:
    """The record of the stage may be lost."""
    async with World.of(NodeSpec(name="a")) as world:
        use = await fenced(world)
        world["a"].host.machine.disks.records["stages"].clear()
        await world["a"].restart()
        assert len(severed(world["a"].host)) == 1
        await assert_cut_off(world, use, await another(world))


async def test_a_wrapper_that_the_journal_forgot_stays_while_something_leads_to_it() -> None:
    """The journal may be lost as well: then the wrapper is nobody's, as if somebody had it open."""
    async with World.of(NodeSpec(name="a")) as world:
        volume = await world.create("first", capability=BLOCK)
        use = await world.use(volume.id, "a", BLOCK)
        host = world["a"].host
        await host.write(use.target, b"first")
        host.machine.disks.records["journal"].clear()
        await world["a"].restart()
        await another(world)
        with pytest.raises(Precondition, match="in use"):
            await world.delete(volume.id)
        assert await host.read(use.target, 5) == b"first"
        await world.unbind(use)
        await world.unstage(use)
        await world.delete(volume.id)


async def test_unbinding_after_the_fence_takes_the_bind_away() -> None:
    async with World.of(NodeSpec(name="a")) as world:
        use = await fenced(world)
        other = await another(world)
        await world.unbind(use)
        await world.unstage(use)
        await world.let_go(other)
        async with asyncio.timeout(5):
            while severed(world["a"].host):
                await asyncio.sleep(0.01)
