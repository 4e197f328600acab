from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from csi_driver.control.requests import (
    CapacityView,
    DeleteVolume,
    ExpandVolume,
    GetCapacity,
    GetVolume,
    ListVolumes,
    PublishVolume,
    UnpublishVolume,
    ValidateCapabilities,
)
from csi_driver.errors import BadToken, InvalidRequest, NoCapacity, NotFound, OutOfRange, Precondition, Unavailable
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import ZONE_KEY, Segment
from csi_driver.model.volume import Limits, VolumeSpec
from tests.unit.fake_agents import BLOCK, EXTENT, MOUNT, Cluster, FakeAgent, made, unheard, until

UNKNOWN = "vol-" + "a" * 26 + "-" + "b" * 8


def nodes(*names: str) -> Cluster:
    return Cluster(*map(FakeAgent, names))


# -- delete


async def test_delete_removes_and_may_be_repeated() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster)
        for _ in range(2):
            await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        assert cluster.ready() == []
        assert (await cluster.controller.list_volumes(ListVolumes())).volumes == ()


async def test_delete_of_a_published_volume_is_refused_with_the_nodes_name() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(PublishVolume(id=str(volume), node="n2", capability=MOUNT))
        with pytest.raises(Precondition, match="is published to node n2"):
            await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        await cluster.controller.unpublish_volume(UnpublishVolume(id=str(volume), node="n2"))
        await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))


async def test_delete_of_what_is_not_there_is_fine_only_when_all_nodes_say_so() -> None:
    async with nodes("n1", "n2") as cluster:
        with pytest.raises(InvalidRequest, match="volume_id is missing"):
            await cluster.controller.delete_volume(DeleteVolume(id=""))
        await cluster.controller.delete_volume(DeleteVolume(id=UNKNOWN))
        volume = await made(cluster, on="n1")
        await cluster.silence("n2")
        await cluster.controller.delete_volume(DeleteVolume(id="reallyfakevolumeid"))
        await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        with pytest.raises(Unavailable, match="may lie on a node that does not answer: n2"):
            await cluster.controller.delete_volume(DeleteVolume(id=UNKNOWN))


async def test_delete_on_a_silent_node_is_unavailable() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        await cluster.silence("n1")
        with pytest.raises(Unavailable, match="node n1 does not answer"):
            await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))


@pytest.mark.parametrize("how", ["stall", "fail"])
async def test_a_node_that_cannot_look_has_not_said_that_it_has_nothing(how: str) -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        await unheard(cluster, volume)
        if how == "stall":
            cluster["n1"].stall.add("get")
        else:
            cluster["n1"].fail["get"] = Unavailable("connection lost")
        with pytest.raises(Unavailable, match="n1"):
            await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        assert len(cluster.ready()) == 1


async def test_delete_finds_what_another_controller_has_just_made() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster)
        await unheard(cluster, volume)
        await cluster.controller.delete_volume(DeleteVolume(id=str(volume)))
        assert cluster.ready() == []


# -- validate


def validate(volume: VolumeId | str, *capabilities: Capability, **more: Any) -> ValidateCapabilities:
    return ValidateCapabilities(id=str(volume), capabilities=capabilities, **more)


async def test_validate_confirms_what_the_volume_is() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        answer = await cluster.controller.validate_capabilities(
            validate(volume, MOUNT, BLOCK, context={"access": "local"}, parameters={"layout": "thin"})
        )
        assert (answer.confirmed, answer.message) == (True, "")


@pytest.mark.parametrize(
    ("capability", "more", "text"),
    [
        (dataclasses.replace(MOUNT, fs=FsType.XFS), {}, "its file system is ext4, not xfs"),
        (Capability(AccessMode.MULTI_NODE_SINGLE_WRITER, AccessType.BLOCK), {}, "is not offered"),
        (MOUNT, {"parameters": {"layout": "thick"}}, "it was made with other parameters"),
        (MOUNT, {"parameters": {"layuot": "thick"}}, "unknown parameter"),
        (MOUNT, {"mutable_parameters": {"iops": "1"}}, "unknown mutable parameter"),
        (MOUNT, {"context": {"access": "telepathy"}}, "'telepathy' is not one of"),
    ],
)
async def test_validate_answers_what_is_not_supported_without_an_error(
    capability: Capability, more: dict[str, Any], text: str
) -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        answer = await cluster.controller.validate_capabilities(validate(volume, MOUNT, capability, **more))
        assert not answer.confirmed
        assert text in answer.message


async def test_a_raw_block_volume_cannot_be_mounted() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster, capability=BLOCK)
        assert not (await cluster.controller.validate_capabilities(validate(volume, MOUNT))).confirmed
        assert (await cluster.controller.validate_capabilities(validate(volume, BLOCK))).confirmed


async def test_validate_checks_fields_then_the_volume() -> None:
    async with nodes("n1") as cluster:
        with pytest.raises(InvalidRequest, match="volume_id is missing"):
            await cluster.controller.validate_capabilities(validate("", MOUNT))
        with pytest.raises(InvalidRequest, match="volume_capabilities are missing"):
            await cluster.controller.validate_capabilities(validate(UNKNOWN))
        with pytest.raises(NotFound):
            await cluster.controller.validate_capabilities(validate(UNKNOWN, MOUNT))


# -- expand


def expand(volume: VolumeId | str, required: int | None = None, limit: int | None = None) -> ExpandVolume:
    return ExpandVolume(id=str(volume), limits=Limits(required, limit))


async def test_expand_grows_by_whole_extents_and_the_node_has_to_follow() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        answer = await cluster.controller.expand_volume(expand(volume, 2 * GIB + 1))
        assert (answer.size, answer.node_expansion_required) == (2 * GIB + EXTENT, True)
        assert (await cluster.controller.get_volume(GetVolume(id=str(volume)))).size == answer.size


async def test_expand_to_what_it_has_is_fine_and_lets_the_agent_finish_what_was_begun() -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        for limits in ((GIB, None), (512 * MIB, None), (None, 2 * GIB)):
            cluster["n1"].calls.clear()
            assert (await cluster.controller.expand_volume(expand(volume, *limits))).size == GIB
            assert cluster["n1"].calls == ["extend"]


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ((GIB + 1, GIB + 2), "in whole extents"),
        ((512 * MIB, 600 * MIB), "it has 1 GiB and is never made smaller"),
        ((None, 600 * MIB), "never made smaller"),
    ],
)
async def test_expand_above_the_limit_is_out_of_range(limits: tuple[int | None, int], text: str) -> None:
    async with nodes("n1") as cluster:
        volume = await made(cluster)
        with pytest.raises(OutOfRange, match=text):
            await cluster.controller.expand_volume(expand(volume, *limits))
        assert "extend" not in cluster["n1"].calls


async def test_expand_without_room_is_out_of_range_so_that_the_user_may_ask_for_less() -> None:
    async with Cluster(FakeAgent("n1", size=3 * GIB)) as cluster:
        volume = await made(cluster)
        with pytest.raises(OutOfRange, match="the pool is full"):
            await cluster.controller.expand_volume(expand(volume, 4 * GIB))
        cluster["n1"].fail["extend"] = OutOfRange("it has 1 GiB left")
        with pytest.raises(OutOfRange, match="it has 1 GiB left"):
            await cluster.controller.expand_volume(expand(volume, 4 * GIB))
        assert not issubclass(OutOfRange, NoCapacity)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (expand("", GIB), "volume_id is missing"),
        (ExpandVolume(id=UNKNOWN, limits=None), "capacity_range is missing"),
        (expand(UNKNOWN), "neither"),
        (expand(UNKNOWN, 0, 0), "neither"),
        (expand(UNKNOWN, -1), "negative"),
        (expand(UNKNOWN, 2, 1), "below required_bytes"),
        (
            ExpandVolume(
                id=UNKNOWN,
                limits=Limits(GIB),
                capability=Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT),
            ),
            "is not offered",
        ),
    ],
)
async def test_expand_checks_fields_first(request_: ExpandVolume, text: str) -> None:
    async with nodes("n1") as cluster:
        with pytest.raises(InvalidRequest, match=text):
            await cluster.controller.expand_volume(request_)


async def test_expand_of_the_unknown_and_of_the_silent() -> None:
    async with nodes("n1", "n2") as cluster:
        with pytest.raises(NotFound):
            await cluster.controller.expand_volume(expand(UNKNOWN, GIB))
        volume = await made(cluster, on="n1")
        await cluster.silence("n1")
        with pytest.raises(Unavailable):
            await cluster.controller.expand_volume(expand(volume, 2 * GIB))


# -- list and get


async def test_list_shows_finished_volumes_and_where_they_are_published() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(PublishVolume(id=str(volume), node="n2", capability=MOUNT))
        claim = VolumeSpec(id=VolumeId(volume_key("c"), "aaaaaaaa"), name="c", size=GIB, pool="data")
        await cluster["n2"].claim(claim)
        await until(lambda: cluster.fleet.locate(claim.id) == "n2")
        (view,) = (await cluster.controller.list_volumes(ListVolumes())).volumes
        assert (view.id, view.size, view.published) == (str(volume), GIB, ("n2",))
        assert await cluster.controller.get_volume(GetVolume(id=str(volume))) == view
        with pytest.raises(NotFound):
            await cluster.controller.get_volume(GetVolume(id=str(claim.id)))


async def test_pages_are_stable_while_volumes_come_and_go() -> None:
    async with nodes("n1", "n2") as cluster:
        volumes = sorted([await made(cluster, f"v{n}") for n in range(10)], key=str)
        page = await cluster.controller.list_volumes(ListVolumes(maximum=4))
        assert [view.id for view in page.volumes] == [str(volume) for volume in volumes[:4]]
        assert page.token == str(volumes[3])
        for gone in (volumes[0], volumes[3]):
            await cluster.controller.delete_volume(DeleteVolume(id=str(gone)))
        rest: list[str] = []
        while page.token:
            page = await cluster.controller.list_volumes(ListVolumes(maximum=4, token=page.token))
            rest += [view.id for view in page.volumes]
        assert rest == [str(volume) for volume in volumes[4:]]


async def test_the_last_page_has_no_token_even_when_it_is_full() -> None:
    async with nodes("n1") as cluster:
        for n in range(4):
            await made(cluster, f"v{n}")
        page = await cluster.controller.list_volumes(ListVolumes(maximum=4))
        assert (len(page.volumes), page.token) == (4, "")
        assert (await cluster.controller.list_volumes(ListVolumes(token=page.volumes[-1].id))).volumes == ()


async def test_list_refuses_bad_tokens_and_negative_numbers() -> None:
    async with nodes("n1") as cluster:
        with pytest.raises(BadToken):
            await cluster.controller.list_volumes(ListVolumes(token="invalid-token"))
        with pytest.raises(InvalidRequest, match="max_entries is -1"):
            await cluster.controller.list_volumes(ListVolumes(maximum=-1))


async def test_of_a_silent_node_list_shows_the_last_heard_and_get_does_not_guess() -> None:
    async with nodes("n1", "n2") as cluster:
        volume = await made(cluster, on="n1")
        await cluster.silence("n1")
        assert [view.id for view in (await cluster.controller.list_volumes(ListVolumes())).volumes] == [str(volume)]
        with pytest.raises(Unavailable):
            await cluster.controller.get_volume(GetVolume(id=str(volume)))
        with pytest.raises(Unavailable):
            await cluster.controller.get_volume(GetVolume(id=UNKNOWN))
        with pytest.raises(NotFound):
            await cluster.controller.get_volume(GetVolume(id="no-such-form"))
        with pytest.raises(InvalidRequest):
            await cluster.controller.get_volume(GetVolume(id=""))


# -- capacity


async def capacity(cluster: Cluster, **more: Any) -> CapacityView:
    return await cluster.controller.get_capacity(GetCapacity(**more))


async def test_capacity_by_segment() -> None:
    async with Cluster(FakeAgent("n1", size=10 * GIB), FakeAgent("n2", size=30 * GIB), FakeAgent("bare", size=0)) as c:
        assert await capacity(c) == CapacityView(available=40 * GIB, maximum=30 * GIB)
        assert await capacity(c, segment=Segment.node("n1")) == CapacityView(available=10 * GIB, maximum=30 * GIB)
        local = {"access": "local", "csi.storage.k8s.io/fstype": "ext4"}
        assert (await capacity(c, segment=Segment.node("n1"), parameters=local)).maximum == 10 * GIB
        assert await capacity(c, segment=Segment.node("bare")) == CapacityView(available=0, maximum=30 * GIB)
        assert await capacity(c, segment=Segment.node("nowhere")) == CapacityView(available=0, maximum=0)
        assert await capacity(c, segment=Segment.of({ZONE_KEY: "x"})) == CapacityView(available=0, maximum=0)
        assert await capacity(c, parameters={"pool": "other"}) == CapacityView(available=0, maximum=0)


async def test_capacity_of_silent_nodes_and_of_what_cannot_be_is_nothing() -> None:
    async with Cluster(FakeAgent("n1", size=10 * GIB), FakeAgent("n2", size=30 * GIB)) as c:
        await c.silence("n2")
        assert await capacity(c) == CapacityView(available=10 * GIB, maximum=10 * GIB)
        many = Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT)
        assert await capacity(c, capabilities=(many,)) == CapacityView(available=0, maximum=0)
        assert (await capacity(c, capabilities=(MOUNT,))).maximum == 10 * GIB
        with pytest.raises(InvalidRequest, match="unknown parameter"):
            await capacity(c, parameters={"layuot": "thin"})


async def test_what_capacity_promises_is_granted() -> None:
    async with Cluster(FakeAgent("n1", size=10 * GIB + 1)) as cluster:
        largest = (await capacity(cluster)).maximum
        assert largest == 10 * GIB
        await made(cluster, "small")
        await until(lambda: (cluster.fleet.node("n1").pools[0].thin_free or 0) < 10 * GIB)
        assert (await capacity(cluster)).maximum == 9 * GIB


async def test_ready_when_everyone_was_heard_or_given_up() -> None:
    agent, late = FakeAgent("n1"), FakeAgent("n2")
    late.silent = True
    cluster = Cluster(agent, late)
    assert not cluster.controller.ready
    async with cluster:
        assert cluster.controller.ready
