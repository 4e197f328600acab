from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from csi_driver.control.requests import PublishVolume, UnpublishVolume
from csi_driver.errors import (
    Busy,
    DriverError,
    Incompatible,
    InternalError,
    InvalidRequest,
    NotFound,
    Precondition,
    StillWorking,
    Unavailable,
)
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.publication import Publication, PublishRequest, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import VolumeSpec
from tests.unit.fake_agents import BLOCK, MOUNT, Cluster, FakeAgent, made, unheard, until

UNKNOWN = "vol-" + "a" * 26 + "-" + "b" * 8


def publish(volume: VolumeId | str, node: str, capability: Capability | None = MOUNT, **more: Any) -> PublishVolume:
    return PublishVolume(id=str(volume), node=node, capability=capability, **more)


def unpublish(volume: VolumeId | str, node: str = "") -> UnpublishVolume:
    return UnpublishVolume(id=str(volume), node=node)


def pair() -> Cluster:
    return Cluster(FakeAgent("n1"), FakeAgent("n2"), FakeAgent("n3"))


# -- publish


async def test_the_storage_node_itself_uses_the_disk_and_nothing_is_exported() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        context = (await cluster.controller.publish_volume(publish(volume, "n1"))).context
        assert (context.transport, context.portals, context.fs) == (Transport.LOCAL, (), FsType.EXT4)
        assert cluster["n1"].entries[volume, "n1"].request.initiator == ""
        assert cluster["n1"].held == {}


async def test_another_node_goes_over_iscsi_and_both_ends_hold_it_before_the_answer() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        context = (await cluster.controller.publish_volume(publish(volume, "n2", readonly=True))).context
        publication = cluster["n1"].entries[volume, "n2"]
        assert (context.transport, context.portals, context.readonly) == (Transport.ISCSI, ("n1:3260",), True)
        assert publication.request.initiator == cluster["n2"].info.initiator
        held = cluster["n2"].held[volume]
        assert (held.secret, held.chap_user) == (publication.secret, publication.chap_user)
        assert (held.number, held.portals) == (publication.number, publication.portals)
        assert publication.secret is not None
        assert publication.secret.reveal() not in str(context.to_map())
        assert cluster.fleet.node("n1").consumers(volume) == ("n2",)


async def test_the_same_again_is_the_same_with_the_secret_in_force() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        first = await cluster.controller.publish_volume(publish(volume, "n2"))
        secret = cluster["n2"].held.pop(volume).secret
        assert await cluster.controller.publish_volume(publish(volume, "n2")) == first
        assert cluster["n2"].held[volume].secret == secret


async def test_it_is_not_answered_while_the_consumer_does_not_hold_it() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        cluster["n2"].fail["hold"] = Unavailable("connection lost")
        with pytest.raises(Unavailable):
            await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster.fleet.node("n1").consumers(volume) == ("n2",)
        cluster["n2"].fail.clear()
        await cluster.controller.publish_volume(publish(volume, "n2"))
        assert volume in cluster["n2"].held


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (publish("", "n1"), "volume_id is missing"),
        (publish(UNKNOWN, ""), "node_id is missing"),
        (publish(UNKNOWN, "n1", None), "volume_capability is missing"),
        (
            publish(UNKNOWN, "nowhere", Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT)),
            "access mode MULTI_NODE_MULTI_WRITER with mount access is not offered",
        ),
    ],
)
async def test_fields_come_first(request_: PublishVolume, text: str) -> None:
    async with pair() as cluster:
        with pytest.raises(InvalidRequest, match=text):
            await cluster.controller.publish_volume(request_)


async def test_then_the_volume_then_the_node_then_the_rest() -> None:
    async with pair() as cluster:
        for unknown in (UNKNOWN, "fake-vol-id", "x" * 500):
            with pytest.raises(NotFound, match="there is no volume"):
                await cluster.controller.publish_volume(publish(unknown, "nowhere"))
        volume = await made(cluster, on="n1", capability=BLOCK)
        with pytest.raises(NotFound, match="node 'nowhere'"):
            await cluster.controller.publish_volume(publish(volume, "nowhere"))
        with pytest.raises(Precondition, match="raw block volume"):
            await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster["n1"].entries == {}


async def test_a_file_system_of_another_kind_cannot_be_mounted_but_read_as_blocks() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        with pytest.raises(Precondition, match="its file system is ext4, not xfs"):
            await cluster.controller.publish_volume(publish(volume, "n2", dataclasses.replace(MOUNT, fs=FsType.XFS)))
        await cluster.controller.publish_volume(publish(volume, "n2", BLOCK))


async def test_published_elsewhere_or_otherwise_is_what_the_agent_says() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        with pytest.raises(Precondition, match="is published to node n2"):
            await cluster.controller.publish_volume(publish(volume, "n3"))
        with pytest.raises(Incompatible):
            await cluster.controller.publish_volume(publish(volume, "n2", readonly=True))


async def test_a_local_class_is_used_on_its_node_only() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        context = {"access": "local"}
        with pytest.raises(Precondition, match="lies on node n1, and its class allows local access only"):
            await cluster.controller.publish_volume(publish(volume, "n2", context=context))
        await cluster.controller.publish_volume(publish(volume, "n1", context=context))


async def test_what_the_network_needs_is_named_when_it_is_missing() -> None:
    async with Cluster(FakeAgent("n1", portals=False), FakeAgent("n2"), FakeAgent("n3")) as cluster:
        volume = await made(cluster, on="n1")
        with pytest.raises(Precondition, match="node n1 exports nothing"):
            await cluster.controller.publish_volume(publish(volume, "n2"))
        await cluster.controller.publish_volume(publish(volume, "n1"))
    bare = FakeAgent("n2")
    bare.info = dataclasses.replace(bare.info, initiator="")
    async with Cluster(FakeAgent("n1"), bare) as cluster:
        volume = await made(cluster, on="n1")
        with pytest.raises(Precondition, match="node n2 has no iSCSI initiator name"):
            await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster["n1"].entries == {}


async def test_two_nodes_with_one_initiator_name_are_both_named() -> None:
    agents = [FakeAgent(f"n{n}") for n in (1, 2, 3)]
    agents[2].info = dataclasses.replace(agents[2].info, initiator=agents[1].info.initiator)
    async with Cluster(*agents) as cluster:
        volume = await made(cluster, on="n1")
        for node, names in (("n2", "n2, n3"), ("n3", "n3, n2")):
            with pytest.raises(Precondition, match=f"nodes {names} have the same iSCSI initiator name"):
                await cluster.controller.publish_volume(publish(volume, node))
        await cluster.controller.publish_volume(publish(volume, "n1"))


async def test_silence_of_either_end_is_unavailable_and_changes_nothing() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.silence("n2")
        with pytest.raises(Unavailable, match="node n2 does not answer"):
            await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster["n1"].entries == {}
        with pytest.raises(Unavailable, match=r"may lie on a node that does not answer: n2"):
            await cluster.controller.publish_volume(publish(UNKNOWN, "n3"))
        await cluster.silence("n1")
        with pytest.raises(Unavailable, match="node n1 does not answer"):
            await cluster.controller.publish_volume(publish(volume, "n3"))


async def test_a_claim_is_nothing_that_could_be_published() -> None:
    async with pair() as cluster:
        spec = VolumeSpec(id=VolumeId(volume_key("v"), "aaaaaaaa"), name="v", size=GIB, pool="data")
        await cluster["n1"].claim(spec)
        with pytest.raises(NotFound):
            await cluster.controller.publish_volume(publish(spec.id, "n1"))
        await until(lambda: cluster.fleet.locate(spec.id) == "n1")
        with pytest.raises(NotFound):
            await cluster.controller.publish_volume(publish(spec.id, "n1"))
        await cluster["n1"].commit(spec.id)
        await cluster.controller.publish_volume(publish(spec.id, "n1", BLOCK))


async def test_a_volume_another_controller_has_just_made_is_found() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await unheard(cluster, volume)
        await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster.fleet.locate(volume) == "n1"


async def test_a_publication_without_a_secret_is_a_fault() -> None:
    class Careless(FakeAgent):
        def _publish(self, request: PublishRequest) -> Publication:
            return dataclasses.replace(super()._publish(request), secret=None)

    async with Cluster(Careless("n1"), FakeAgent("n2")) as cluster:
        volume = await made(cluster, on="n1")
        with pytest.raises(InternalError, match="without a secret"):
            await cluster.controller.publish_volume(publish(volume, "n2"))


async def test_while_a_secret_is_being_replaced_the_consumer_ends_with_the_one_in_force() -> None:
    class Renewed(FakeAgent):
        """Another controller sets a new secret right after we were told one."""

        renewals = 1

        def _publish(self, request: PublishRequest) -> Publication:
            told = super()._publish(request)
            if self.renewals:
                self.renewals -= 1
                super()._publish(dataclasses.replace(request, new_secret=True))
            return told

    async with Cluster(Renewed("n1"), FakeAgent("n2")) as cluster:
        volume = await made(cluster, on="n1")
        cluster["n2"].want(volume)
        await until(lambda: volume in cluster.fleet.node("n2").wanted)
        await cluster.controller.publish_volume(publish(volume, "n2"))
        assert cluster["n2"].held[volume].secret == Secret("secret-2")
        assert cluster["n1"].entries[volume, "n2"].secret == Secret("secret-2")


async def test_a_secret_that_never_rests_is_not_final() -> None:
    class Restless(FakeAgent):
        def _publish(self, request: PublishRequest) -> Publication:
            return super()._publish(dataclasses.replace(request, new_secret=True))

    async with Cluster(Restless("n1"), FakeAgent("n2")) as cluster:
        volume = await made(cluster, on="n1")
        cluster["n2"].want(volume)
        await until(lambda: volume in cluster.fleet.node("n2").wanted)
        with pytest.raises(Busy, match="keeps changing"):
            await cluster.controller.publish_volume(publish(volume, "n2"))


# -- unpublish


async def test_the_fence_comes_first_and_the_consumer_forgets() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        await cluster.controller.unpublish_volume(unpublish(volume, "n2"))
        assert cluster["n1"].entries == {}
        assert cluster["n2"].held == {}
        assert cluster.fleet.node("n1").consumers(volume) == ()
        await cluster.controller.unpublish_volume(unpublish(volume, "n2"))
        await cluster.controller.publish_volume(publish(volume, "n3"))


@pytest.mark.parametrize("how", ["silent", "hanging", "refusing"])
async def test_the_consumer_may_be_dead(how: str) -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        if how == "silent":
            await cluster.silence("n2")
        elif how == "hanging":
            cluster["n2"].stall.add("release")
        else:
            cluster["n2"].fail["release"] = InternalError("disk full")
        await cluster.controller.unpublish_volume(unpublish(volume, "n2"))
        assert cluster["n1"].entries == {}


@pytest.mark.parametrize("error", [StillWorking("draining"), Busy("a job runs"), Unavailable("lost")])
async def test_as_long_as_the_fence_does_not_stand_it_is_not_answered(error: DriverError) -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        cluster["n1"].fail["unpublish"] = error
        with pytest.raises(type(error)):
            await cluster.controller.unpublish_volume(unpublish(volume, "n2"))
        assert cluster.fleet.node("n1").consumers(volume) == ("n2",)
        assert volume in cluster["n2"].held


async def test_a_node_that_nobody_knows_any_more_is_shut_out_as_well() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        publication = cluster["n1"].entries.pop((volume, "n2"))
        cluster["n1"].entries[volume, "gone"] = publication
        await cluster.controller.unpublish_volume(unpublish(volume, "gone"))
        assert cluster["n1"].entries == {}


async def test_an_empty_node_means_all_of_them_also_those_just_published_by_others() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        cluster.fleet.forget_publication("n1", volume, "n2")
        assert cluster.fleet.node("n1").consumers(volume) == ()
        await cluster.controller.unpublish_volume(unpublish(volume))
        assert cluster["n1"].entries == {}
        assert cluster["n2"].held == {}


async def test_a_volume_that_is_gone_is_reached_by_nobody_if_all_nodes_say_so() -> None:
    async with pair() as cluster:
        for volume in ("fake-vol-id", UNKNOWN):
            await cluster.controller.unpublish_volume(unpublish(volume, "n2"))
        with pytest.raises(InvalidRequest, match="volume_id is missing"):
            await cluster.controller.unpublish_volume(unpublish("", "n2"))
        await cluster.silence("n3")
        await cluster.controller.unpublish_volume(unpublish("fake-vol-id", "n2"))
        with pytest.raises(Unavailable, match="n3"):
            await cluster.controller.unpublish_volume(unpublish(UNKNOWN, "n2"))


async def test_a_silent_storage_node_is_unavailable_and_never_ok() -> None:
    async with pair() as cluster:
        volume = await made(cluster, on="n1")
        await cluster.controller.publish_volume(publish(volume, "n2"))
        await cluster.silence("n1")
        for node in ("n2", ""):
            with pytest.raises(Unavailable, match="node n1 does not answer"):
                await cluster.controller.unpublish_volume(unpublish(volume, node))
        assert volume in cluster["n2"].held
