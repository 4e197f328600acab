from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import pytest

from csi_driver.control.requests import CreateVolume, VolumeView
from csi_driver.errors import (
    InvalidRequest,
    NoCapacity,
    OutOfRange,
)
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import volume_key
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import NODE_KEY, ZONE_KEY, Segment, Topology
from csi_driver.model.volume import Limits
from tests.unit.create_orders import XFS, at, create, identity, only
from tests.unit.fake_agents import BLOCK, EXTENT, MOUNT, Cluster, FakeAgent

# -- the straight way


async def test_a_volume_is_made_as_ordered() -> None:
    parameters = {
        "layout": "thick",
        "csi.storage.k8s.io/pvc/name": "data",
        "csi.storage.k8s.io/pvc/namespace": "shop",
    }
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        view = await cluster.controller.create_volume(create(size=GIB + 1, parameters=parameters, topology=at("n2")))
        volume = only(cluster)
        context, topology = {"access": "prefer-local"}, (Segment.node("n2"),)
        assert view == VolumeView(id=str(volume.id), size=GIB + EXTENT, context=context, topology=topology)
        assert (volume.node, volume.size, volume.fs, volume.layout) == ("n2", GIB + EXTENT, FsType.EXT4, "thick")
        assert (volume.name, volume.pvc_namespace, volume.pvc_name) == ("pvc-1", "shop", "data")
        assert volume.id.key == volume_key("pvc-1")
        assert cluster.fleet.locate(volume.id) == "n2"


async def test_the_same_again_is_the_same_and_changes_nothing() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        first = await cluster.controller.create_volume(create())
        cluster["n1"].calls.clear()
        cluster["n2"].calls.clear()
        assert await cluster.controller.create_volume(create()) == first
        assert {*cluster["n1"].calls, *cluster["n2"].calls} == {"find"}
        only(cluster)


async def test_a_block_volume_has_no_file_system_and_no_range_means_the_default() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        view = await cluster.controller.create_volume(CreateVolume(name="b", capabilities=(BLOCK,)))
        assert (only(cluster).fs, view.size) == (None, GIB)


@pytest.mark.parametrize(
    ("limits", "size"),
    [
        (Limits(1, None), 16 * MIB),
        (Limits(0, 0), GIB),
        (Limits(None, 100 * MIB + 1), 100 * MIB),
        (Limits(None, 50 * GIB), GIB),
        (Limits(100 * MIB, 100 * MIB), 100 * MIB),
    ],
)
async def test_sizes(limits: Limits, size: int) -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        request = CreateVolume(name="v", capabilities=(MOUNT,), limits=limits)
        assert (await cluster.controller.create_volume(request)).size == size


@pytest.mark.parametrize(
    ("parameters", "portals", "topology"),
    [
        ({}, True, ()),
        ({"access": "network"}, True, ()),
        ({"access": "local"}, True, (Segment.node("n1"),)),
        ({}, False, (Segment.node("n1"),)),
    ],
)
async def test_where_it_may_be_used_is_told(
    parameters: Mapping[str, str], topology: tuple[Segment, ...], *, portals: bool
) -> None:
    async with Cluster(FakeAgent("n1", portals=portals)) as cluster:
        view = await cluster.controller.create_volume(create(parameters=parameters))
        assert view.topology == topology
        assert view.context["access"] == parameters.get("access", "prefer-local")


ZONE_A, ZONE_B = Segment.of({ZONE_KEY: "a"}), Segment.of({ZONE_KEY: "b"})
ZONES = {"n1": "a", "n2": "a", "n3": "b"}
EVERY_NODE = tuple(Segment.of({NODE_KEY: node, ZONE_KEY: zone}) for node, zone in ZONES.items())


@pytest.mark.parametrize(
    ("requisite", "topology"),
    [
        ((), ()),
        # What the provisioner sends without allowedTopologies: a node that comes later must not be shut out.
        (EVERY_NODE, ()),
        ((ZONE_A, ZONE_B), ()),
        ((ZONE_A,), (ZONE_A,)),
        ((Segment.node("n1"), Segment.node("n2")), (Segment.node("n1"), Segment.node("n2"))),
    ],
)
async def test_what_an_operator_allows_binds_the_pods_as_well(
    requisite: tuple[Segment, ...], topology: tuple[Segment, ...]
) -> None:
    agents = FakeAgent("n1", zone="a"), FakeAgent("n2", zone="a"), FakeAgent("n3", zone="b", size=0)
    async with Cluster(*agents) as cluster:
        view = await cluster.controller.create_volume(create(topology=Topology(requisite=requisite)))
        assert view.topology == topology
        assert await cluster.controller.create_volume(create(topology=Topology(requisite=requisite))) == view


async def test_a_silent_node_counts_and_one_that_was_never_heard_does_not() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        await cluster.silence("n2")
        view = await cluster.controller.create_volume(create(topology=at("n1")))
        assert view.topology == (Segment.node("n1"),)
    never = FakeAgent("n2")
    never.silent = True  # a node that joins just now, whose image is still being pulled
    async with Cluster(FakeAgent("n1"), never) as cluster:
        view = await cluster.controller.create_volume(create(topology=at("n1")))
        assert view.topology == ()


async def test_the_pods_node_wins_and_another_is_the_fallback_unless_local() -> None:
    async with Cluster(FakeAgent("big"), FakeAgent("pod", size=2 * GIB)) as cluster:
        first = await cluster.controller.create_volume(create("a", topology=at("pod")))
        assert cluster.fleet.locate(identity(first)) == "pod"
        second = await cluster.controller.create_volume(create("b", size=5 * GIB, topology=at("pod")))
        assert cluster.fleet.locate(identity(second)) == "big"
        with pytest.raises(NoCapacity, match=r"pod/data: it has 1 GiB left for a thin volume of 5 GiB"):
            await cluster.controller.create_volume(
                create("c", size=5 * GIB, parameters={"access": "local"}, topology=at("pod"))
            )


async def test_many_at_once_spread_over_the_pools() -> None:
    async with Cluster(*(FakeAgent(f"n{n}") for n in range(4))) as cluster:
        await asyncio.gather(*(cluster.controller.create_volume(create(f"v{n}")) for n in range(16)))
        assert [len(agent.volumes) for agent in cluster.agents.values()] == [4, 4, 4, 4]


# -- what is wrong with a request


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (create(""), "name is missing"),
        (create("x" * 129), "name is 129 bytes long, at most 128"),
        (create("é" * 65), "name is 130 bytes long"),
        (create("a\x01b"), "control characters"),
        (create("a\x85b"), "control characters"),
        (CreateVolume(name="v", capabilities=()), "volume_capabilities are missing"),
        (create("v", MOUNT, BLOCK), "a file system and for a raw block volume at once"),
        (create("v", XFS, dataclasses.replace(MOUNT, fs=FsType.EXT4)), "several file systems: ext4, xfs"),
        (create("v", Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT)), "is not offered"),
        (create("v", dataclasses.replace(MOUNT, mount_flags=("x" * 4097,))), "mount_flags: 4097 bytes"),
        (create("v", size=-1), "required_bytes is -1"),
        (create("v", limit=-5), "limit_bytes is -5"),
        (create("v", size=2 * GIB, limit=GIB), "limit_bytes 1073741824 is below required_bytes"),
        (create("v", parameters={"layuot": "thin"}), "unknown parameter 'layuot'"),
        (create("v", parameters={"csi.storage.k8s.io/x": "x" * 4096}), "parameters: 4116 bytes"),
        (create("v", mutable_parameters={"XXX_FakeKey": "1"}), "unknown mutable parameter 'XXX_FakeKey'"),
    ],
)
async def test_a_request_that_cannot_be_is_refused_before_anyone_is_asked(request_: CreateVolume, text: str) -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        with pytest.raises(InvalidRequest, match=text):
            await cluster.controller.create_volume(request_)
        assert cluster["n1"].calls == ["watch"]


async def test_a_name_of_any_letters_and_full_length_is_fine() -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        await cluster.controller.create_volume(create("é" * 64))
        await cluster.controller.create_volume(create("tab\tand line\n and ../\\ 'quotes'"))
        assert len(cluster.ready()) == 2


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (create("v", XFS, size=200 * MIB), "200 MiB is too small: an xfs volume needs at least 300 MiB"),
        (create("v", XFS, size=None, limit=299 * MIB), "299 MiB is too small"),
        (create("v", BLOCK, size=None, limit=15 * MIB), "15 MiB is too small: a block volume needs at least 16 MiB"),
        (create("v", size=17 * MIB, limit=19 * MIB), "no multiple of its extents of 4 MiB"),
    ],
)
async def test_a_size_that_cannot_be_is_out_of_range(request_: CreateVolume, text: str) -> None:
    async with Cluster(FakeAgent("n1")) as cluster:
        with pytest.raises(OutOfRange, match=text):
            await cluster.controller.create_volume(request_)
