from __future__ import annotations

import asyncio
import dataclasses
from contextlib import suppress

import pytest

from csi_driver.control.requests import CreateVolume, DeleteVolume
from csi_driver.errors import (
    Busy,
    DriverError,
    Incompatible,
    InternalError,
    NoCapacity,
    StillWorking,
    Unavailable,
)
from csi_driver.kit import deadline
from csi_driver.model.access import AccessMode, FsType
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import ZONE_KEY, Segment, Topology
from csi_driver.model.volume import Content, Volume, VolumeSpec
from tests.unit.create_orders import XFS, at, claim_spec, create, only
from tests.unit.fake_agents import BLOCK, MOUNT, Cluster, FakeAgent, until

# -- what exists already


@pytest.mark.parametrize(
    ("again", "text"),
    [
        (create(size=2 * GIB), r"its size is 1073741824 bytes \(1 GiB\)"),
        (create(size=None, limit=512 * MIB), "its size is"),
        (create("pvc-1", BLOCK), "it was made for mount access"),
        (create("pvc-1", XFS), "its file system is ext4"),
        (create(parameters={"layout": "thick"}), "it was made with other parameters"),
        (create(topology=Topology(requisite=(Segment.of({ZONE_KEY: "b"}),))), "lies on node n1 and cannot be used"),
    ],
)
async def test_the_same_name_with_other_properties_is_incompatible(again: CreateVolume, text: str) -> None:
    async with Cluster(FakeAgent("n1", zone="a")) as cluster:
        await cluster.controller.create_volume(create())
        with pytest.raises(Incompatible, match=text):
            await cluster.controller.create_volume(again)
        only(cluster)


@pytest.mark.parametrize(
    "again",
    [
        create(size=512 * MIB),
        create(size=None),
        create(size=None, limit=2 * GIB),
        create("pvc-1", dataclasses.replace(MOUNT, fs=FsType.EXT4)),
        create("pvc-1", dataclasses.replace(MOUNT, mode=AccessMode.SINGLE_NODE_MULTI_WRITER)),
        create(parameters={"layout": "thin"}),
        create(topology=at("elsewhere")),
    ],
)
async def test_the_same_name_with_properties_that_it_has_is_the_same(again: CreateVolume) -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        first = await cluster.controller.create_volume(create())
        assert (await cluster.controller.create_volume(again)).id == first.id


async def test_a_claim_left_by_a_dead_controller_is_adopted_if_it_fits_and_dropped_if_not() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        fits = await cluster["n2"].claim(claim_spec("pvc-1", "bbbbbbbb"))
        other = await cluster["n1"].claim(dataclasses.replace(claim_spec("pvc-1", "aaaaaaaa"), params_hash="x"))
        view = await cluster.controller.create_volume(create())
        assert view.id == str(fits.id)
        assert other.id not in cluster["n1"].volumes
        only(cluster)


async def test_claims_beside_a_committed_volume_are_dropped_as_far_as_that_goes() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        first = await cluster.controller.create_volume(create(topology=at("n1")))
        await cluster["n2"].claim(claim_spec("pvc-1", "aaaaaaaa"))
        cluster["n2"].fail["drop"] = Busy("a job runs")
        assert (await cluster.controller.create_volume(create())).id == first.id
        assert len(cluster["n2"].volumes) == 1
        cluster["n2"].fail.clear()
        assert (await cluster.controller.create_volume(create())).id == first.id
        only(cluster)


async def test_a_volume_that_is_being_filled_is_not_answered_yet() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        claim = await cluster["n1"].claim(claim_spec("pvc-1", "aaaaaaaa"))
        cluster["n1"].volumes[claim.id] = dataclasses.replace(claim, content=Content.POPULATING)
        with pytest.raises(StillWorking, match="is populating"):
            await cluster.controller.create_volume(create())


# -- trouble on the way


@pytest.mark.parametrize("error", [NoCapacity("full"), InternalError("mkfs ended with status 1"), Unavailable("gone")])
async def test_where_it_does_not_work_the_next_best_place_is_taken(error: DriverError) -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        cluster["n1"].fail["claim"] = error
        await cluster.controller.create_volume(create(topology=Topology(preferred=(Segment.node("n1"),))))
        assert "claim" in cluster["n1"].calls
        assert only(cluster).node == "n2"


async def test_half_a_claim_is_undone_before_the_next_place_is_tried() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2", size=0)) as cluster:
        cluster["n1"].lose["claim"] = InternalError("mkfs ended with status 1")
        with pytest.raises(InternalError, match="n1/data: mkfs ended with status 1"):
            await cluster.controller.create_volume(create())
        assert cluster["n1"].volumes == {}


async def test_no_room_anywhere_says_why_for_each_pool() -> None:
    async with Cluster(FakeAgent("n1", size=GIB), FakeAgent("n2"), FakeAgent("n3", size=0)) as cluster:
        cluster["n2"].problem = "the metadata of thin pool pool is 81.0 % full"
        cluster["n2"].tell_all()
        await until(lambda: cluster.fleet.node("n2").pools[0].problem != "")
        with pytest.raises(NoCapacity) as caught:
            await cluster.controller.create_volume(create(size=2 * GIB))
        assert "n1/data: it has 1 GiB left for a thin volume of 2 GiB" in str(caught.value)
        assert "n2/data: the metadata of thin pool pool is 81.0 % full" in str(caught.value)


async def test_no_room_by_the_agents_own_word_is_no_capacity_too() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        cluster["n1"].fail["claim"] = NoCapacity("the pool is full")
        with pytest.raises(NoCapacity, match="n1/data: the pool is full"):
            await cluster.controller.create_volume(create())


async def test_a_lost_answer_is_not_a_final_no_and_the_retry_finds_the_claim() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        cluster["n1"].lose["claim"] = Unavailable("connection lost")
        with pytest.raises(Unavailable, match="n1/data: connection lost"):
            await cluster.controller.create_volume(create())
        cluster["n1"].lose.clear()
        cluster["n1"].calls.clear()
        await cluster.controller.create_volume(create())
        assert "claim" not in cluster["n1"].calls
        only(cluster)


@pytest.mark.parametrize("error", [StillWorking("mkfs runs"), Busy("another job runs")])
async def test_work_that_goes_on_is_not_final_and_joined_by_the_retry(error: DriverError) -> None:
    specs: list[VolumeSpec] = []

    class Slow(FakeAgent):
        async def claim(self, spec: VolumeSpec) -> Volume:
            specs.append(spec)
            if len(specs) == 1:
                raise error
            return await super().claim(spec)

    async with Cluster(Slow("n1"), FakeAgent("n2")) as cluster:
        topology = Topology(preferred=(Segment.node("n1"),))
        with pytest.raises(type(error)):
            await cluster.controller.create_volume(create(topology=topology))
        await cluster.controller.create_volume(create(topology=topology))
        assert specs[0] == specs[1]
        assert only(cluster).id == specs[0].id


async def test_a_retry_with_other_properties_does_not_join() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        cluster["n1"].fail["claim"] = StillWorking("mkfs runs")
        with pytest.raises(StillWorking):
            await cluster.controller.create_volume(create())
        cluster["n1"].fail.clear()
        assert (await cluster.controller.create_volume(create(size=2 * GIB))).size == 2 * GIB


async def test_a_caller_that_gives_up_leaves_a_creation_to_be_joined() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        cluster["n1"].stall.add("claim")
        task = asyncio.create_task(cluster.controller.create_volume(create()))
        await until(lambda: "claim" in cluster["n1"].calls)
        with pytest.raises(Busy, match="CreateVolume has been running"):
            await cluster.controller.create_volume(create(size=2 * GIB))
        task.cancel()
        await asyncio.wait({task})
        again = asyncio.create_task(cluster.controller.create_volume(create()))
        cluster["n1"].stall.clear()
        assert (await again).id == str(only(cluster).id)
        assert cluster["n1"].calls.count("claim") == 1


@pytest.mark.parametrize("limit", [0.005, 0.05, 0.11])
async def test_a_creation_comes_to_its_end_however_short_the_deadlines_are(limit: float) -> None:
    """Each question takes longer than a caller waits, or two of them do."""
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        for agent in cluster.agents.values():
            agent.slow = dict.fromkeys(("find", "claim", "commit"), 0.1)
        answers: list[str] = []
        async with asyncio.timeout(10):
            while not answers:
                with suppress(TimeoutError):
                    async with asyncio.timeout(limit):
                        answers.append((await cluster.controller.create_volume(create())).id)
                await asyncio.sleep(0.02)
        assert answers == [str(only(cluster).id)]


async def test_an_answer_from_memory_is_of_a_volume_that_stands_and_fits() -> None:
    for then in ("same", "other", "deleted"):
        async with Cluster(FakeAgent("n1")) as cluster:
            cluster["n1"].stall.add("commit")
            with deadline.expires_in(0.25), pytest.raises(StillWorking):
                await cluster.controller.create_volume(create())
            cluster["n1"].stall.clear()
            await until(lambda: bool(cluster.ready()) and not cluster.context.jobs.running())
            first = only(cluster)
            cluster["n1"].calls.clear()
            if then == "same":
                assert (await cluster.controller.create_volume(create())).id == str(first.id)
                assert cluster["n1"].calls == []
            elif then == "other":
                with pytest.raises(Incompatible):
                    await cluster.controller.create_volume(create(size=2 * GIB))
            else:
                await cluster.controller.delete_volume(DeleteVolume(id=str(first.id)))
                assert (await cluster.controller.create_volume(create())).id != str(first.id)


async def test_an_agent_that_has_not_finished_when_the_caller_leaves_is_not_called_silent() -> None:
    """ABORTED, "still running", whichever question it is that takes so long (csi.md 1.1)."""
    for verb in ("find", "claim", "commit"):
        async with Cluster(FakeAgent("n1")) as cluster:
            cluster["n1"].stall.add(verb)
            with deadline.expires_in(0.25), pytest.raises(StillWorking, match="has not finished yet"):
                await cluster.controller.create_volume(create())
            cluster["n1"].stall.clear()
            await cluster.controller.create_volume(create())
            only(cluster)


async def test_a_commit_whose_answer_is_lost_is_found_by_the_retry() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        cluster["n1"].lose["commit"] = Unavailable("connection lost")
        with pytest.raises(Unavailable):
            await cluster.controller.create_volume(create())
        view = await cluster.controller.create_volume(create())
        assert view.id == str(only(cluster).id)


async def test_a_claim_that_cannot_be_dropped_keeps_the_other_from_being_committed() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        await cluster["n1"].claim(claim_spec("pvc-1", "aaaaaaaa"))
        await cluster["n2"].claim(claim_spec("pvc-1", "bbbbbbbb"))
        cluster["n2"].fail["drop"] = Unavailable("connection lost")
        with pytest.raises(Unavailable):
            await cluster.controller.create_volume(create())
        assert cluster.ready() == []
        cluster["n2"].fail.clear()
        assert (await cluster.controller.create_volume(create())).id.endswith("aaaaaaaa")
        only(cluster)


# -- silence


async def test_a_silent_node_does_not_stop_creates() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        await cluster.silence("n1")
        await cluster.controller.create_volume(create(topology=at("n1")))
        assert only(cluster).node == "n2"


async def test_a_node_that_is_too_slow_to_look_does_not_stop_creates() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        cluster["n1"].stall.add("find")
        cluster["n1"].fail["claim"] = NoCapacity("")
        await cluster.controller.create_volume(create())
        assert only(cluster).node == "n2"


@pytest.mark.parametrize("how", ["silent", "slow"])
async def test_a_volume_known_to_lie_on_a_node_that_does_not_answer_is_not_made_twice(how: str) -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        view = await cluster.controller.create_volume(create(topology=at("n1")))
        if how == "silent":
            await cluster.silence("n1")
        else:
            cluster["n1"].stall.add("find")
        with pytest.raises(Unavailable, match=f"volume {view.id} of this name lies on node n1"):
            await cluster.controller.create_volume(create())
        assert cluster["n2"].volumes == {}


async def test_a_claim_whose_node_falls_silent_is_not_made_twice_in_one_request() -> None:
    class Flaky(FakeAgent):
        async def claim(self, spec: VolumeSpec) -> Volume:
            done = await super().claim(spec)
            self.fail["find"] = Unavailable("connection lost")
            return done

    async with Cluster(Flaky("n1"), FakeAgent("n2")) as cluster:
        with pytest.raises(Unavailable, match="lies on node n1, which is silent"):
            await cluster.controller.create_volume(create(topology=at("n1")))
        assert cluster.ready() == []


async def test_when_nobody_answers_that_is_not_a_final_no() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2", size=0)) as cluster:
        await cluster.silence("n1")
        with pytest.raises(Unavailable, match="no node with disks answers"):
            await cluster.controller.create_volume(create())
        await cluster.silence("n2")
        with pytest.raises(Unavailable, match="no node answers: n1"):
            await cluster.controller.create_volume(create())
    async with Cluster() as nothing:
        with pytest.raises(Unavailable, match="no node answers: there is none"):
            await nothing.controller.create_volume(create())


async def test_nodes_that_were_never_heard_are_named_when_there_is_no_room() -> None:
    late = FakeAgent("n9")
    late.silent = True
    async with Cluster(FakeAgent("n1", size=GIB), late) as cluster:
        with pytest.raises(NoCapacity, match="not heard from: n9"):
            await cluster.controller.create_volume(create(size=2 * GIB))
