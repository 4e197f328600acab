"""A commit whose answer is lost, from a node that then falls silent: the volume may be there for ever."""

from __future__ import annotations

import pytest

from csi_driver.errors import Unavailable
from csi_driver.model.topology import Segment, Topology
from tests.unit.create_orders import at, create, only
from tests.unit.fake_agents import Cluster, FakeAgent, until

PREFER_N1 = Topology(preferred=(Segment.node("n1"),))


@pytest.mark.parametrize("done", [True, False])
async def test_retry_waits_for_the_node_whose_answer_was_lost(done: bool) -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        order = create(topology=at("n1"))
        kind = cluster["n1"].lose if done else cluster["n1"].fail
        kind["commit"] = Unavailable("the connection broke")
        with pytest.raises(Unavailable, match="the connection broke"):
            await cluster.controller.create_volume(order)
        [volume] = cluster["n1"].volumes
        await cluster.silence("n1")

        for _ in range(2):
            with pytest.raises(Unavailable, match=f"volume {volume} of this name lies on node n1, which is silent"):
                await cluster.controller.create_volume(order)
        assert not cluster["n2"].volumes, "no second one was made"

        cluster["n1"].silent = False
        kind.clear()
        await until(lambda: cluster.fleet.node("n1").answering)
        assert (await cluster.controller.create_volume(order)).id == str(volume)
        assert only(cluster).id == volume


async def test_a_node_that_is_dismissed_blocks_the_name_no_longer() -> None:
    """It was gone for good with a commit on its way; the operator has said so."""
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        cluster["n1"].fail["commit"] = Unavailable("connection lost")
        with pytest.raises(Unavailable):
            await cluster.controller.create_volume(create(topology=PREFER_N1))
        await cluster.silence("n1")
        with pytest.raises(Unavailable, match="lies on node n1, which is silent"):
            await cluster.controller.create_volume(create(topology=PREFER_N1))
        cluster.fleet.dismiss("n1")
        view = await cluster.controller.create_volume(create(topology=PREFER_N1))
        (volume,) = cluster["n2"].volumes.values()
        assert view.id == str(volume.id)
