from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

import pytest

from csi_driver.control.context import Context, Patience
from csi_driver.control.service import Controller
from csi_driver.errors import NoCapacity, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Volume
from tests.unit.create_orders import create
from tests.unit.fake_agents import QUICK, FakeAgent

T = TypeVar("T")
ROOMS = (10, 20, 30, 40, 50)
"""Volumes of 1 GiB that the pools have room for: 150 together."""


class Slow(FakeAgent):
    """Takes a while for each verb, drawn by its own seed, so that calls of two controllers mix."""

    def __init__(self, node: str, *, size: int) -> None:
        super().__init__(node, size=size)
        self.random = random.Random(node)

    async def _gated(self, name: str, act: Callable[[], T]) -> T:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        done = act()
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)
        return done


async def crowd(agents: list[Slow], names: list[str]) -> list[object]:
    """Every name created at once, by two controllers in turn."""
    fleets = [Fleet([Member(agent.node, agent) for agent in agents], QUICK) for _ in range(2)]
    controllers = [Controller(Context(fleet=fleet, patience=Patience(look=30.0))) for fleet in fleets]
    for fleet in fleets:
        await fleet.start()
        await fleet.wait_settled()
    try:
        creates = [controllers[n % 2].create_volume(create(name)) for n, name in enumerate(names)]
        return list(await asyncio.gather(*creates, return_exceptions=True))
    finally:
        for fleet in fleets:
            await fleet.stop()


async def test_200_creates_over_room_for_150_make_150_and_no_pool_goes_beyond_its_limit() -> None:
    agents = [Slow(f"n{n}", size=room * GIB) for n, room in enumerate(ROOMS)]
    results = await crowd(agents, [f"pvc-{n}" for n in range(200)])
    refused = [each for each in results if isinstance(each, BaseException)]
    assert [len(agent.volumes) for agent in agents] == list(ROOMS)
    assert len(refused) == 50
    assert all(isinstance(each, NoCapacity) for each in refused)
    assert all("no pool can hold 1 GiB thin" in str(each) for each in refused)


async def test_the_same_name_from_both_controllers_makes_one_volume_each() -> None:
    agents = [Slow(f"n{n}", size=room * GIB) for n, room in enumerate(ROOMS)]
    names = [f"pvc-{n // 2}" for n in range(100)]
    await crowd(agents, names)
    await crowd(agents, names)
    made: list[VolumeId] = [volume for agent in agents for volume in agent.volumes]
    assert len({volume.key for volume in made}) == len(made) == 50


@pytest.mark.parametrize("lost", [True, False])
async def test_an_agent_gone_whether_or_not_it_took_the_job_is_replaced_and_one_volume_comes_of_it(
    *, lost: bool
) -> None:
    """Its claim, if it made one, is no volume: it comes back with a claim that no name commits."""
    agents = [Slow("n0", size=90 * GIB), Slow("n1", size=50 * GIB)]
    (agents[0].lose if lost else agents[0].fail)["claim"] = Unavailable("connection reset")
    results = await crowd(agents, ["a", "b", "c"])
    assert not [each for each in results if isinstance(each, BaseException)]
    committed: list[Volume] = [each for agent in agents for each in agent.volumes.values() if each.content == "ready"]
    assert len({each.id.key for each in committed}) == len(committed) == 3
