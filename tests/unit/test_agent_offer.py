"""Pools change while the agent runs; what was made in one that is offered no more stays what it is."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from csi_driver.agent import claim, commit, delete, extend, find
from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import CHOSEN, GROUPS, Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.service import Agent
from csi_driver.errors import InvalidRequest, NotFound, Precondition, Unavailable
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.inventory import AgentInfo
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Layout, VolumeSpec
from csi_driver.node.attachments import Attachments
from csi_driver.node.context import NodeContext
from csi_driver.node.release import Consumer
from csi_driver.node.stages import Stages
from csi_driver.settings import EVERYWHERE, AgentSettings, PoolSettings
from csi_driver.testing.faults import KillAt, Killed, When
from csi_driver.testing.host import SimHost
from tests.unit.fake_agents import until

FAST = PoolSettings(name="fast", vg="vg0", thin_pool="pool")
BULK = PoolSettings(name="bulk", vg="vg1")
SPEC = VolumeSpec(id=VolumeId(volume_key("v"), "aaaaaaaa"), name="v", size=GIB, pool="fast")


class Node:
    """A host with two volume groups; ``restart`` is a new process over the same disks."""

    def __init__(self, *given: PoolSettings) -> None:
        self.host = SimHost("n1")
        self.host.add_group("vg0", 8 * GIB, thin_pool="pool")
        self.host.add_group("vg1", 8 * GIB)
        self.given = given
        self.context, self.agent = self.restart()

    @property
    def records(self) -> dict[str, bytes]:
        return dict(self.host.records("offer").read())

    def restart(self) -> tuple[AgentContext, Agent]:
        node = NodeContext(
            node="n1",
            doors=self.host.consumer,
            attachments=Attachments(self.host.records("attachments"), self.host.initiator),
            stages=Stages(self.host.records("stages")),
        )
        consumer = Consumer(node)
        self.context = AgentContext(
            node="n1",
            cluster="test",
            doors=self.host.storage,
            settings=AgentSettings(),
            offer=Offer(self.host.records("offer"), self.given),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=consumer.refers,
        )
        info = AgentInfo(node="n1", boot_id="b", initiator="")
        self.agent = Agent(self.context, consumer, lambda: info)
        return self.context, self.agent

    async def make(self) -> None:
        await claim.claim(self.context, SPEC)
        await commit.commit(self.context, SPEC.id)

    def shown(self) -> list[str]:
        return [pool.name for pool in self.context.picture.pools]


@pytest.fixture
async def node() -> AsyncIterator[Node]:
    node = Node(FAST)
    await node.agent.start()
    yield node
    await node.agent.stop()


async def test_a_choice_is_in_force_at_once_and_after_a_restart_without_a_controller(node: Node) -> None:
    assert node.shown() == ["fast"]
    await node.agent.choose_pools((BULK, FAST))
    await until(lambda: node.shown() == ["bulk", "fast"])
    assert json.loads(node.records[CHOSEN])[0] == {"name": "bulk", "vg": "vg1"}
    await node.agent.stop()
    _, agent = node.restart()
    await agent.start()
    assert node.shown() == ["bulk", "fast"]


async def test_what_is_chosen_again_is_not_written_again(node: Node) -> None:
    assert await node.context.offer.choose((FAST, BULK))
    assert not await node.context.offer.choose((FAST, BULK))
    node.restart()
    assert not await node.context.offer.choose((FAST, BULK))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (PoolSettings(name="other", vg="vg0"), "volume group 'vg0'"),
        (PoolSettings(name="fast", vg="vg1"), "name 'fast'"),
    ],
)
async def test_two_pools_that_clash_are_refused_and_nothing_changes(node: Node, other: PoolSettings, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        await node.agent.choose_pools((FAST, other))
    assert CHOSEN not in node.records
    assert node.shown() == ["fast"]


async def test_volumes_of_a_pool_that_is_offered_no_more_stay_what_they_are(node: Node) -> None:
    await node.make()
    await node.agent.choose_pools((BULK,))
    await until(lambda: node.shown() == ["bulk"])
    for _ in range(2):
        assert [volume.id for volume in await find.find(node.context, SPEC.id.key)] == [SPEC.id]
        assert (await node.agent.get(SPEC.id)).pool == "fast"
        with pytest.raises(Precondition, match="no longer offered"):
            await extend.extend(node.context, SPEC.id, 2 * GIB)
        await node.agent.stop()
        _, agent = node.restart()
        await agent.start()
        assert [volume.id for volume in node.context.picture.volumes] == [SPEC.id]
    with pytest.raises(NotFound, match="no pool 'fast'"):
        await claim.claim(node.context, SPEC)
    await delete.delete(node.context, SPEC.id)
    # Nothing of ours is left there, so it need not be looked at any more.
    await node.agent.refresh()
    assert json.loads(node.records[GROUPS]) == {"found": ["vg1"]}
    await node.agent.choose_pools((FAST,))
    await node.agent.refresh()
    assert node.shown() == ["fast"]


async def test_a_group_that_was_here_and_is_away_is_not_empty(node: Node) -> None:
    await node.make()
    away = node.host.machine.groups.pop("vg0")
    for _ in range(2):
        with pytest.raises(Unavailable, match="volume group vg0 of node n1 is not there now"):
            await node.agent.get(SPEC.id)
        with pytest.raises(Unavailable, match="vg0"):
            await find.find(node.context, SPEC.id.key)
        with pytest.raises(Unavailable, match="vg0"):
            await delete.delete(node.context, SPEC.id)
        await node.agent.stop()
        _, agent = node.restart()
        await agent.start()
        assert "vg0" in node.context.picture.pools[0].problem
    node.host.machine.groups["vg0"] = away
    assert (await node.agent.get(SPEC.id)).id == SPEC.id
    node.host.machine.groups.pop("vg0")
    # The operator takes it out of the settings: now it is said that it is gone.
    await node.agent.choose_pools((BULK,))
    with pytest.raises(NotFound):
        await node.agent.get(SPEC.id)


async def test_a_group_that_never_was_here_holds_nothing(node: Node) -> None:
    elsewhere = PoolSettings(name="elsewhere", vg="vg7", nodes=EVERYWHERE)
    demanded = PoolSettings(name="demanded", vg="vg8")
    await node.make()
    await node.agent.choose_pools((elsewhere, demanded, FAST))
    await until(lambda: node.shown() == ["demanded", "fast"])
    assert "vg8" in node.context.picture.pools[0].problem
    assert (await node.agent.get(SPEC.id)).id == SPEC.id
    with pytest.raises(NotFound, match="has no volume"):
        await node.agent.get(VolumeId(volume_key("w"), "aaaaaaaa"))
    other = VolumeSpec(
        id=VolumeId(volume_key("w"), "aaaaaaaa"), name="w", size=GIB, pool="demanded", layout=Layout.THICK
    )
    with pytest.raises(NotFound):
        await claim.claim(node.context, other)


def test_what_is_on_disk_and_cannot_be_read_is_an_error_and_no_choice() -> None:
    host = SimHost("n1")
    host.machine.disks.records["offer"] = {CHOSEN: b'[{"name": "fast"}]'}
    with pytest.raises(InvalidRequest, match=r"pools\.json"):
        Offer(host.records("offer"), (FAST,))


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_death_at_its_one_effect_leaves_the_old_choice_or_the_new_one(node: Node, when: When) -> None:
    await node.make()
    node.host.process_crash(KillAt(1, when))
    context, _ = node.restart()
    with pytest.raises(Killed):
        await context.offer.choose((BULK,))
    node.host.process_crash()
    context, agent = node.restart()
    assert [pool.name for pool in context.offer.pools] == (["fast"] if when == "before" else ["bulk"])
    await agent.choose_pools((BULK,))  # its caller tries again
    await agent.refresh()
    assert node.shown() == ["bulk"]
    assert (await agent.get(SPEC.id)).id == SPEC.id
