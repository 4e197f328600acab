"""Nodes are told what is over, and only what is proven to be over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from csi_driver.control.overdue import Overdue
from csi_driver.control.requests import CreateVolume, PublishVolume, UnpublishVolume
from csi_driver.errors import Unavailable
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.topology import NODE_KEY
from tests.unit.fake_agents import Cluster, FakeAgent, until

MOUNT = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4)


@asynccontextmanager
async def published() -> AsyncIterator[tuple[Cluster, VolumeId]]:
    """A volume that lies on n1 and is published to n2; someone tells what is overdue."""
    async with Cluster(FakeAgent("n1"), FakeAgent("n2", size=0)) as cluster:
        view = await cluster.controller.create_volume(CreateVolume(name="one", capabilities=(MOUNT,)))
        await cluster.controller.publish_volume(PublishVolume(id=view.id, node="n2", capability=MOUNT))
        volume = VolumeId.parse(view.id)
        assert volume is not None
        assert cluster.fleet.node("n2").labels[NODE_KEY] == "n2"
        cluster["n2"].tell_held()
        task = asyncio.create_task(Overdue(cluster.context, pause=0.05).run())
        try:
            yield cluster, volume
        finally:
            task.cancel()


async def test_a_node_that_missed_its_release_is_told_later() -> None:
    async with published() as (cluster, volume):
        cluster["n2"].fail["release"] = Unavailable("cut off")
        await cluster.controller.unpublish_volume(UnpublishVolume(id=str(volume), node="n2"))
        assert volume in cluster["n2"].held
        del cluster["n2"].fail["release"]
        await until(lambda: volume not in cluster["n2"].held)


async def test_what_is_published_is_left_alone() -> None:
    async with published() as (cluster, volume):
        # Our picture may have lost it; the storage node's journal has not.
        cluster.fleet.forget_publication("n1", volume, "n2")
        await until(lambda: "publications" in cluster["n1"].calls)
        await asyncio.sleep(0.1)
        assert volume in cluster["n2"].held
        assert "release" not in cluster["n2"].calls


async def test_a_silent_storage_node_says_nothing() -> None:
    async with published() as (cluster, volume):
        cluster.fleet.forget_publication("n1", volume, "n2")
        await cluster.silence("n1")
        calls = cluster["n2"].calls.count("release")
        await asyncio.sleep(0.2)
        assert cluster["n2"].calls.count("release") == calls
        assert volume in cluster["n2"].held


async def test_a_volume_that_no_node_has_is_over() -> None:
    async with published() as (cluster, volume):
        cluster["n2"].fail["release"] = Unavailable("cut off")
        await cluster.controller.unpublish_volume(UnpublishVolume(id=str(volume), node="n2"))
        await cluster["n1"].delete(volume)
        del cluster["n2"].fail["release"]
        await until(lambda: volume not in cluster["n2"].held)
