"""A volume's life, ended and repaired at every effect: on either node, before and after; and with each effect
done twice. The same end each time: the data right, one writer, nothing left.

The life is create, publish, stage and bind on another node, expand at both ends, unbind, unstage, unpublish, the
same on the storage node itself, delete.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from csi_driver.control.requests import ExpandVolume
from csi_driver.kit.effects import Effects
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Limits
from csi_driver.node.requests import ExpandRequest
from csi_driver.testing.faults import KillAt, Recorder, RepeatAt, When
from tests.driver.nodes import NodeSpec
from tests.driver.world import Use, World

OWNER, CONSUMER = "a", "b"
FLOOR = 180
"""Crash points that each life has at least: a test that enumerates fewer has lost some."""


@dataclass(frozen=True)
class Kind:
    """What kind of volume lives."""

    layout: str
    fs: FsType | None

    @property
    def capability(self) -> Capability:
        access = AccessType.BLOCK if self.fs is None else AccessType.MOUNT
        return Capability(AccessMode.SINGLE_NODE_WRITER, access, self.fs)

    @property
    def inside(self) -> str:
        """What follows the target path where data is written."""
        return "" if self.fs is None else "/file"

    def __str__(self) -> str:
        return f"{self.layout}-{self.fs or 'block'}"


KINDS = (Kind("thin", FsType.EXT4), Kind("thin", FsType.XFS), Kind("thin", None), Kind("thick", FsType.EXT4))


def world_of_two() -> World:
    return World.of(NodeSpec(name=OWNER), NodeSpec(name=CONSUMER, size=0))


async def live(world: World, kind: Kind) -> None:
    """The whole life; every step as its caller would, until it succeeds."""
    made = await world.until_ok(lambda: world.create("pvc", GIB, kind.capability, layout=kind.layout))
    size = GIB
    for node, before, word in ((CONSUMER, b"", b"one"), (OWNER, b"one", b"two")):
        use = await world.use(made.id, node, kind.capability)
        size += GIB
        await expand(world, use, size)
        if before:
            assert await world[node].host.read(use.target + kind.inside, len(before)) == before
        await world[node].host.write(use.target + kind.inside, word)
        await world.let_go(use)
    await world.until_ok(lambda: world.delete(made.id))


async def expand(world: World, use: Use, size: int) -> None:
    """ControllerExpand, then NodeExpand."""
    order = ExpandVolume(id=use.volume, limits=Limits(required=size))

    async def on_node() -> None:
        request = ExpandRequest(volume=use.volume, volume_path=use.target, staging_path=use.staging)
        await world[use.node].ask(lambda process: process.plugin.expand(request))

    expanded = await world.until_ok(lambda: world.controller.expand_volume(order))
    assert expanded.size == size
    await world.until_ok(on_node)


async def effects_of(kind: Kind, node: str) -> tuple[str, ...]:
    """The names of the effects that a life has on a node, in order."""
    recorder = Recorder()
    async with world_of_two() as world:
        world[node].host.effects.layer = recorder
        await live(world, kind)
    return tuple(recorder.names)


async def die_at(kind: Kind, node: str, number: int, when: When) -> None:
    killer = KillAt(number, when)
    async with asyncio.timeout(30), world_of_two() as world:
        world[node].host.effects.layer = killer
        await live(world, kind)
        assert killer.dead
        assert (await world.cleaned(), world.network.violations) == ((), []), (number, killer.seen[number - 1])


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_death_at_every_effect(kind: Kind) -> None:
    points = 0
    for node in (OWNER, CONSUMER):
        total = len(await effects_of(kind, node))
        for number in range(1, total + 1):
            await die_at(kind, node, number, "before")
            await die_at(kind, node, number, "after")
            points += 2
    print(f"crash points, {kind}: {points} tried, {points} converged")
    assert points >= FLOOR


@pytest.mark.parametrize("kind", KINDS, ids=str)
async def test_every_effect_may_happen_twice(kind: Kind) -> None:
    for node in (OWNER, CONSUMER):
        for number in range(1, len(await effects_of(kind, node)) + 1):
            async with asyncio.timeout(30), world_of_two() as world:
                repeater: Effects = RepeatAt(number)
                world[node].host.effects.layer = repeater
                await live(world, kind)
                assert (await world.cleaned(), world.network.violations) == ((), [])


async def test_life_without_a_fault_leaves_nothing_at_once() -> None:
    for kind in KINDS:
        async with asyncio.timeout(30), world_of_two() as world:
            await live(world, kind)
            assert world.leftovers() == ()
