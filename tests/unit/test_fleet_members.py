"""Members that come, move and go while the fleet is running."""

from __future__ import annotations

import asyncio
import logging

import pytest
from prometheus_client import CollectorRegistry

from csi_driver.control.requests import CreateVolume, GetCapacity, PublishVolume
from csi_driver.errors import NoCapacity, NotFound, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.metrics.usage import UsageMetrics
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import GIB
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Limits
from tests.unit.fake_agents import MOUNT, QUICK, Cluster, FakeAgent, made, until
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


async def test_a_node_that_is_withheld_gets_nothing_new_and_everything_else_goes_on() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        there = await made(cluster, "a", on="n1")
        cluster.fleet.withhold("n1", "the node is cordoned")
        cluster.fleet.withhold("never-there", "the node is cordoned")
        cluster["n1"].tell_all()  # what an agent tells is another matter
        await until(lambda: bool(cluster.fleet.node("n1").volumes))
        assert cluster.fleet.node("n1").withheld == "the node is cordoned"
        topology = Topology(preferred=(Segment.node("n1"),))
        request = CreateVolume(name="b", capabilities=(MOUNT,), limits=Limits(GIB), topology=topology)
        volume = VolumeId.parse((await cluster.controller.create_volume(request)).id)
        assert volume is not None
        assert cluster.fleet.locate(volume) == "n2"
        await cluster.controller.publish_volume(PublishVolume(id=str(there), node="n1", capability=MOUNT))
        cluster.fleet.withhold("n2", "the node is being drained")
        with pytest.raises(NoCapacity, match=r"n1/data.*the node is cordoned.*n2/data.*the node is being drained"):
            await cluster.controller.create_volume(CreateVolume(name="c", capabilities=(MOUNT,), limits=Limits(GIB)))
        assert (await cluster.controller.get_capacity(GetCapacity())).maximum == 0
        cluster.fleet.withhold("n1", "")
        assert await made(cluster, "c", on="n1")


async def test_uses_are_counted_by_the_way_they_take() -> None:
    registry = CollectorRegistry()
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        UsageMetrics(registry, cluster.fleet.uses)
        for name, node in (("a", "n1"), ("b", "n2"), ("c", "n2")):
            volume = await made(cluster, name, on="n1")
            await cluster.controller.publish_volume(PublishVolume(id=str(volume), node=node, capability=MOUNT))
        assert registry.get_sample_value("clinker_volumes_used", {"path": "local"}) == 1
        assert registry.get_sample_value("clinker_volumes_used", {"path": "remote"}) == 2
