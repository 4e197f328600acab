from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence

import pytest

from csi_driver.errors import InvalidRequest, NotFound, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.state import NodeState, apply, without_publication, without_volume
from csi_driver.fleet.watcher import Timing
from csi_driver.model.access import AccessMode
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import GIB
from csi_driver.model.topology import NODE_KEY
from csi_driver.model.volume import Content, Volume
from tests.unit.fake_agents import FakeAgent, until

QUICK = Timing(silence=0.05, first_contact=0.2, shortest_pause=0.01, longest_pause=0.04)


def volume(name: str, node: str = "n1", content: Content = Content.READY) -> Volume:
    identity = VolumeId(volume_key(name), "aaaaaaaa")
    return Volume(id=identity, name=name, size=GIB, pool="data", node=node, vg="vg", content=content)


def ref(of: Volume, node: str) -> PublicationRef:
    return PublicationRef(of.id, node, 1, Transport.ISCSI, AccessMode.SINGLE_NODE_WRITER, readonly=False)


class Running:
    """A started fleet over these agents, stopped at the end."""

    def __init__(self, agents: Sequence[FakeAgent], timing: Timing = QUICK) -> None:
        self.fleet = Fleet([Member(agent.node, agent) for agent in agents], timing)

    async def __aenter__(self) -> Fleet:
        await self.fleet.start()
        return self.fleet

    async def __aexit__(self, *_: object) -> None:
        await self.fleet.stop()


# -- the pure part


def test_a_full_change_replaces_everything() -> None:
    one, two = volume("one"), volume("two")
    info = FakeAgent("n1").info
    state = apply(
        NodeState(name="n1"), Change(full=True, info=info, volumes=(one,), publications=(ref(one, "n2"),), wanted=())
    )
    assert state.answering
    after = apply(state, Change(full=True, info=info, volumes=(two,), pools=()))
    assert (set(after.volumes), dict(after.publications), after.info) == ({two.id}, {}, info)


def test_a_change_touches_only_what_it_names() -> None:
    one, two = volume("one"), volume("two")
    state = apply(NodeState(name="n1"), Change(full=True, volumes=(one, two), pools=FakeAgent("n1").pools))
    state = apply(state, Change(publications=(ref(one, "n2"), ref(one, "n3")), wanted=(two.id,)))
    assert state.consumers(one.id) == ("n2", "n3")
    state = apply(state, Change(volumes_gone=(two.id,), publications_gone=((one.id, "n2"), (one.id, "n9"))))
    assert (set(state.volumes), state.consumers(one.id)) == ({one.id}, ("n3",))
    assert state.wanted == frozenset({two.id})
    assert len(state.pools) == 1
    assert apply(state, Change()) == state
    assert apply(state, Change(wanted=(), pools=())).wanted == frozenset()


def test_claims_are_not_ready_and_a_node_has_its_own_label_from_the_start() -> None:
    claim, done = volume("one", content=Content.CLAIMED), volume("two")
    state = apply(NodeState(name="n1"), Change(full=True, volumes=(claim, done)))
    assert state.ready() == (done,)
    assert NodeState(name="n1").labels == {NODE_KEY: "n1"}
    assert NodeState(name="n1").initiator == ""


def test_a_late_message_does_not_undo_what_an_answer_told() -> None:
    done = volume("one")
    grown = dataclasses.replace(done, size=2 * GIB)
    state = apply(NodeState(name="n1"), Change(full=True, volumes=(grown,)))
    for late in (done, dataclasses.replace(grown, content=Content.CLAIMED)):
        assert apply(state, Change(volumes=(late,))).volumes[done.id] == grown
    formatted = dataclasses.replace(grown, formatted=True)
    assert apply(state, Change(volumes=(formatted,))).volumes[done.id] == formatted


def test_what_was_seen_to_go_comes_back_only_after_the_agent_has_said_so() -> None:
    one = volume("one")
    state = apply(NodeState(name="n1"), Change(full=True, volumes=(one,), publications=(ref(one, "n2"),)))
    ended = without_publication(state, one.id, "n2")
    assert apply(ended, Change(publications=(ref(one, "n2"),))).consumers(one.id) == ()
    anew = dataclasses.replace(ref(one, "n2"), number=2)
    assert apply(ended, Change(publications=(anew,))).consumers(one.id) == ("n2",)
    gone = without_volume(state, one.id)
    late = apply(gone, Change(volumes=(one,), publications=(ref(one, "n2"),)))
    assert (dict(late.volumes), dict(late.publications)) == ({}, {})
    said = apply(late, Change(volumes_gone=(one.id,), publications_gone=((one.id, "n2"),)))
    assert (said.gone, dict(said.ended)) == (frozenset(), {})
    assert one.id in apply(said, Change(volumes=(one,))).volumes
    assert one.id in apply(gone, Change(full=True, volumes=(one,))).volumes
    assert without_volume(said, one.id) == said
    assert without_publication(said, one.id, "n2") == said


# -- listening


async def test_the_inventory_is_followed() -> None:
    agent = FakeAgent("n1")
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        assert [state.name for state in fleet.answering()] == ["n1"]
        assert fleet.node("n1").info == agent.info
        assert fleet.agent("n1") is agent
        one = volume("one")
        agent.tell(Change(volumes=(one,)))
        await until(lambda: fleet.locate(one.id) == "n1")
        agent.tell(Change(volumes_gone=(one.id,)))
        await until(lambda: fleet.locate(one.id) is None)


async def test_a_member_that_never_answered_is_known_and_silent() -> None:
    agent, dead = FakeAgent("n1"), FakeAgent("n2")
    dead.silent = True
    async with Running([agent, dead]) as fleet:
        await fleet.wait_settled()
        assert [state.name for state in fleet.silent()] == ["n2"]
        with pytest.raises(Unavailable, match="node n2 does not answer: connection refused"):
            fleet.agent("n2")
        with pytest.raises(NotFound, match="n3"):
            fleet.agent("n3")
        dead.silent = False
        await until(lambda: fleet.node("n2").answering)


async def test_a_broken_stream_makes_a_node_silent_and_keeps_what_was_heard() -> None:
    agent = FakeAgent("n1")
    one = volume("one")
    agent.volumes[one.id] = one
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        agent.go_silent()
        await until(lambda: not fleet.node("n1").answering)
        assert fleet.locate(one.id) == "n1"
        agent.silent = False
        agent.volumes.clear()
        await until(lambda: fleet.node("n1").answering)
        assert fleet.locate(one.id) is None


async def test_a_quiet_agent_that_still_says_who_it_is_is_not_silent() -> None:
    agent = FakeAgent("n1")
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        await asyncio.sleep(0.3)
        assert fleet.node("n1").answering
        assert agent.calls.count("watch") == 1
        agent.mute = True
        await until(lambda: not fleet.node("n1").answering)
        assert fleet.node("n1").silence == "nothing was heard for 0.05 s"
        agent.mute = False
        await until(lambda: fleet.node("n1").answering)


async def test_a_sign_of_life_is_enough() -> None:
    agent = FakeAgent("n1")
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        agent.mute = True
        for _ in range(20):
            agent.tell(Change())
            await asyncio.sleep(0.01)
        assert fleet.node("n1").answering


async def test_calls_are_repeated_with_growing_pauses() -> None:
    agent = FakeAgent("n1")
    agent.silent = True
    async with Running([agent], dataclasses.replace(QUICK, shortest_pause=0.02, longest_pause=10)):
        await asyncio.sleep(0.5)
    # 0.02, 0.04 ... 0.32, each shortened to a half at most: six calls, or a few more.
    assert 4 <= agent.calls.count("watch") <= 8


async def test_a_member_that_says_nothing_does_not_hold_up_the_start() -> None:
    class Hanging(FakeAgent):
        async def watch(self) -> AsyncIterator[Change]:
            await asyncio.Event().wait()
            yield Change()

    agent = Hanging("n1")
    async with Running([agent], Timing(silence=60, first_contact=0.05)) as fleet:
        assert not fleet.settled
        await asyncio.wait_for(fleet.wait_settled(), 2)
        assert not fleet.node("n1").answering


async def test_settled_means_heard_or_refused_and_an_empty_fleet_is() -> None:
    heard, refused = FakeAgent("n1"), FakeAgent("n2")
    refused.silent = True
    async with Running([heard, refused], Timing(first_contact=60)) as fleet:
        await asyncio.wait_for(fleet.wait_settled(), 2)
        assert fleet.settled
    async with Running([]) as fleet:
        await asyncio.wait_for(fleet.wait_settled(), 2)


# -- who is who


async def test_an_agent_of_another_name_is_not_taken_for_the_member() -> None:
    stranger = FakeAgent("n1")
    stranger.info = dataclasses.replace(stranger.info, node="n2")
    async with Running([stranger, FakeAgent("n2")]) as fleet:
        await fleet.wait_settled()
        await until(lambda: fleet.node("n2").answering)
        assert fleet.node("n1").silence == "the agent at its address calls itself 'n2'"
        assert fleet.node("n1").info is None


@pytest.mark.parametrize(("version", "answers"), [((1, 0), True), ((1, 2), True), ((1, 3), False), ((2, 0), False)])
async def test_one_minor_version_apart_works(version: tuple[int, int], *, answers: bool) -> None:
    agent = FakeAgent("n1")
    agent.info = dataclasses.replace(agent.info, api_version=version)
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        assert fleet.node("n1").answering is answers
        assert answers or f"version {version[0]}.{version[1]}" in fleet.node("n1").silence


async def test_an_agent_that_does_not_say_who_it_is_is_not_heard() -> None:
    class Nameless(FakeAgent):
        async def watch(self) -> AsyncIterator[Change]:
            yield Change(full=True)

    async with Running([Nameless("n1")]) as fleet:
        await fleet.wait_settled()
        assert "does not say who it is" in fleet.node("n1").silence


async def test_a_fault_in_reading_makes_a_node_silent_and_not_answering_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(FakeAgent):
        async def watch(self) -> AsyncIterator[Change]:
            self.calls.append("watch")
            yield Change(full=True, info=self.info)
            raise ZeroDivisionError

    agent = Broken("n1")
    async with Running([agent]) as fleet:
        await until(lambda: fleet.node("n1").silence == "its inventory cannot be read: ZeroDivisionError")
        await until(lambda: agent.calls.count("watch") > 2)
    assert "inventory stream failed" in caplog.text


async def test_an_ended_stream_is_opened_again() -> None:
    class Brief(FakeAgent):
        async def watch(self) -> AsyncIterator[Change]:
            self.calls.append("watch")
            yield Change(full=True, info=self.info)

    agent = Brief("n1")
    async with Running([agent]) as fleet:
        await until(lambda: fleet.node("n1").silence == "its inventory stream ended")
        await until(lambda: agent.calls.count("watch") > 2)


def test_names_must_differ() -> None:
    agent = FakeAgent("n1")
    with pytest.raises(InvalidRequest, match="'n1' is empty or given twice"):
        Fleet([Member("n1", agent), Member("n1", agent)])
    with pytest.raises(InvalidRequest, match="'' is empty"):
        Fleet([Member("", agent)])


async def test_two_agents_with_one_initiator_name_are_found() -> None:
    agents = [FakeAgent(f"n{n}") for n in range(4)]
    agents[2].info = dataclasses.replace(agents[2].info, initiator=agents[1].info.initiator)
    nothing: AgentInfo = dataclasses.replace(agents[0].info, initiator="")
    agents[0].info, agents[3].info = nothing, dataclasses.replace(nothing, node="n3")
    async with Running(agents) as fleet:
        await fleet.wait_settled()
        await until(lambda: len(fleet.answering()) == 4)
        assert fleet.initiator_twins("n1") == ("n2",)
        assert fleet.initiator_twins("n0") == ()


# -- being told


async def test_what_a_verb_did_is_seen_before_the_agent_says_so() -> None:
    agent = FakeAgent("n1")
    one = volume("one")
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        fleet.learn(one)
        fleet.learn_publication("n1", ref(one, "n2"))
        assert fleet.node("n1").consumers(one.id) == ("n2",)
        fleet.forget_publication("n1", one.id, "n2")
        assert fleet.node("n1").consumers(one.id) == ()
        fleet.learn_publication("n1", ref(one, "n2"))
        fleet.forget(one.id)
        fleet.forget(one.id)
        assert fleet.locate(one.id) is None
        assert dict(fleet.node("n1").publications) == {}


async def test_being_told_does_not_make_a_silent_node_answer() -> None:
    agent = FakeAgent("n1")
    async with Running([agent]) as fleet:
        await fleet.wait_settled()
        agent.go_silent()
        await until(lambda: not fleet.node("n1").answering)
        fleet.learn(volume("one"))
        assert not fleet.node("n1").answering


async def test_listeners_get_each_new_picture() -> None:
    agent = FakeAgent("n1")
    heard: list[NodeState] = []
    async with Running([agent]) as fleet:
        fleet.subscribe(heard.append)
        await fleet.wait_settled()
        agent.want(volume("one").id)
        await until(lambda: len(heard) == 2)
    assert [len(state.wanted) for state in heard] == [0, 1]


async def test_stop_ends_everything() -> None:
    running = Running([FakeAgent("n1")])
    async with running as fleet:
        await fleet.wait_settled()
        before = len(asyncio.all_tasks())
    assert len(asyncio.all_tasks()) < before
    assert [task for task in asyncio.all_tasks() if task.get_name().startswith("watch")] == []
