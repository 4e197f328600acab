"""Members that come, move and go while the fleet is running."""

from __future__ import annotations

import asyncio
import logging

import pytest

from csi_driver.errors import NotFound, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.model.ids import VolumeId
from tests.unit.fake_agents import QUICK, FakeAgent, until
from tests.unit.test_fleet_watch import volume


def holding(node: str, name: str) -> FakeAgent:
    agent = FakeAgent(node)
    held = volume(name, node)
    agent.volumes[held.id] = held
    return agent


async def settled(fleet: Fleet) -> bool:
    try:
        async with asyncio.timeout(0.3):
            await fleet.wait_settled()
    except TimeoutError:
        return False
    return fleet.settled


async def test_before_the_members_are_known_nothing_is() -> None:
    fleet = Fleet([], QUICK, complete=False)
    await fleet.start()
    agent = FakeAgent("n1")
    fleet.admit(Member("n1", agent))
    await until(lambda: bool(fleet.answering()))
    assert not await settled(fleet)
    fleet.complete()
    assert await settled(fleet)
    await fleet.stop()


async def test_without_any_member_it_settles_too() -> None:
    fleet = Fleet([], QUICK, complete=False)
    fleet.complete()
    await fleet.start()
    assert await settled(fleet)
    await fleet.stop()


async def test_one_that_says_nothing_is_waited_for_only_so_long() -> None:
    fleet = Fleet([], QUICK, complete=False)
    await fleet.start()
    mute = FakeAgent("n1")
    mute.go_silent()
    fleet.admit(Member("n1", mute))
    fleet.complete()
    await fleet.wait_settled()
    assert [state.name for state in fleet.silent()] == ["n1"]
    await fleet.stop()


async def test_a_member_without_a_way_to_it_is_silent_and_known() -> None:
    fleet = Fleet([], QUICK, complete=False)
    await fleet.start()
    fleet.admit(Member("n1", None))
    fleet.complete()
    assert await settled(fleet)
    assert fleet.node("n1").silence == "no pod of its agent has been seen"
    with pytest.raises(Unavailable, match="no pod of its agent has been seen"):
        fleet.agent("n1")
    fleet.admit(Member("n1", FakeAgent("n1")))
    await until(lambda: fleet.node("n1").answering)
    await fleet.stop()


async def test_one_that_moved_is_silent_until_it_is_heard_and_what_it_held_is_kept() -> None:
    before, after = holding("n1", "a"), holding("n1", "a")
    held: VolumeId = next(iter(before.volumes))
    fleet = Fleet([Member("n1", before)], QUICK)
    await fleet.start()
    await until(lambda: fleet.locate(held) == "n1")
    fleet.admit(Member("n1", after))
    assert not fleet.node("n1").answering
    assert fleet.locate(held) == "n1"
    await until(lambda: fleet.node("n1").answering)
    assert fleet.agent("n1") is after
    fleet.admit(Member("n1", None))
    assert fleet.locate(held) == "n1"
    await fleet.stop()


async def test_one_that_is_gone_is_forgotten_with_all_it_held(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    agent = holding("n1", "a")
    held = next(iter(agent.volumes))
    fleet = Fleet([Member("n1", agent), Member("n2", FakeAgent("n2"))], QUICK)
    await fleet.start()
    await until(lambda: fleet.locate(held) == "n1")
    fleet.dismiss("n1")
    fleet.dismiss("never-there")
    assert [state.name for state in fleet.nodes()] == ["n2"]
    assert fleet.locate(held) is None
    with pytest.raises(NotFound):
        fleet.agent("n1")
    # An answer that was on its way when the node was forgotten changes nothing.
    fleet.learn(volume("b", "n1"))
    fleet.forget_publication("n1", held, "n2")
    await asyncio.sleep(0.1)
    assert [state.name for state in fleet.nodes()] == ["n2"]
    fleet.admit(Member("n1", agent))
    await until(lambda: fleet.locate(held) == "n1")
    await fleet.stop()


async def test_the_last_one_missing_may_go() -> None:
    mute = FakeAgent("n1")
    mute.go_silent()
    fleet = Fleet([], QUICK, complete=False)
    fleet.admit(Member("n1", mute))
    fleet.complete()
    fleet.dismiss("n1")
    assert fleet.settled
    await fleet.start()
    await fleet.stop()
