"""A copy that a silent node brings back is reported, and nothing is done about it."""

from __future__ import annotations

import asyncio
import dataclasses
import logging

import pytest

from csi_driver.control.abandoned import Abandoned, copies
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content
from tests.unit.create_orders import claim_spec
from tests.unit.fake_agents import Cluster, FakeAgent, made, until

WORDS = "a name has several volumes"


def bring_back(agent: FakeAgent, volume: VolumeId, cluster: Cluster) -> VolumeId:
    """The agent shows a finished volume of the same name."""
    found = next(each for each in cluster.ready() if each.id == volume)
    copy = dataclasses.replace(found, id=VolumeId(volume.key, "zzzzzzzz"), node=agent.node)
    agent.volumes[copy.id] = copy
    agent.tell_all()
    return copy.id


async def test_each_copy_of_a_name_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        watch = asyncio.create_task(Abandoned(cluster.context, pause=0.001).run())
        volume = await made(cluster, on="n1")
        await cluster["n2"].claim(claim_spec("v", "aaaaaaaa"))
        with caplog.at_level(logging.WARNING):
            copy = bring_back(cluster["n2"], volume, cluster)
            await until(lambda: WORDS in caplog.text)
            cluster["n2"].tell_all()
            await asyncio.sleep(0.02)
        (record,) = [record for record in caplog.records if WORDS in record.message]
        assert vars(record)["volumes"] == [f"{volume} on n1", f"{copy} on n2"]
        assert vars(record)["volume_name"] == "v"
        assert {each.id for agent in cluster.agents.values() for each in agent.volumes.values()} >= {volume, copy}
        watch.cancel()


async def test_a_claim_is_no_copy() -> None:
    async with Cluster(FakeAgent("n1"), FakeAgent("n2")) as cluster:
        await made(cluster, on="n1")
        claim = await cluster["n2"].claim(claim_spec("v", "aaaaaaaa"))
        cluster["n2"].tell_all()
        await until(lambda: claim.id in cluster.fleet.node("n2").volumes)
        assert claim.content is Content.CLAIMED
        assert copies(cluster.fleet) == ()
