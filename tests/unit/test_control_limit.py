"""A node uses no more volumes than it may."""

from __future__ import annotations

import dataclasses

import pytest

from csi_driver.control.requests import CreateVolume, PublishVolume
from csi_driver.errors import NoCapacity
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from tests.unit.fake_agents import Cluster, FakeAgent

MOUNT = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4)


async def test_one_more_than_the_node_may_use_is_refused() -> None:
    agent = FakeAgent("n1")
    agent.info = dataclasses.replace(agent.info, max_volumes=2)
    async with Cluster(agent) as cluster:
        views = [
            await cluster.controller.create_volume(CreateVolume(name=name, capabilities=(MOUNT,))) for name in "abc"
        ]
        orders = [PublishVolume(id=view.id, node="n1", capability=MOUNT) for view in views]
        for order in orders[:2]:
            await cluster.controller.publish_volume(order)
        with pytest.raises(NoCapacity, match="2 are allowed"):
            await cluster.controller.publish_volume(orders[2])
        # What is published already is not one more.
        await cluster.controller.publish_volume(orders[0])
        assert len(agent.entries) == 2
