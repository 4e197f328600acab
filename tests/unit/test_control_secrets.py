from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from csi_driver.control.requests import PublishVolume
from csi_driver.control.secrets import LostSecrets, Pace
from csi_driver.errors import Unavailable
from csi_driver.model.access import Capability
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Attachment
from csi_driver.model.secret import Secret
from tests.unit.fake_agents import BLOCK, MOUNT, Cluster, FakeAgent, made, until

PACE = Pace(first=0.01, longest=0.05, limit=0.2)


class Forgetful(FakeAgent):
    """A consumer that wants what it was published and does not hold, as a real one does."""

    async def hold(self, attachment: Attachment) -> None:
        await super().hold(attachment)
        self.want(*(each for each in self.wanted if each != attachment.volume))


@asynccontextmanager
async def serving(*clusters: Cluster) -> AsyncIterator[None]:
    """Each cluster's controller looks after lost secrets."""
    tasks = [asyncio.create_task(LostSecrets(cluster.context, PACE).run()) for cluster in clusters]
    try:
        yield
    finally:
        for task in tasks:
            assert not task.done(), "it must never end by itself"
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def published(cluster: Cluster, capability: Capability = MOUNT, *, readonly: bool = False) -> VolumeId:
    volume = await made(cluster, on="n1", capability=capability if capability is BLOCK else MOUNT)
    request = PublishVolume(id=str(volume), node="n2", capability=capability, readonly=readonly)
    await cluster.controller.publish_volume(request)
    return volume


def settled(cluster: Cluster, volume: VolumeId, *, old: Secret) -> bool:
    held = cluster["n2"].held.get(volume)
    in_force = cluster["n1"].entries[volume, "n2"].secret
    return held is not None and held.secret == in_force != old


async def lose(cluster: Cluster, volume: VolumeId) -> Secret:
    old = cluster["n2"].held.pop(volume).secret
    cluster["n2"].want(volume)
    return old


@pytest.mark.parametrize("readonly", [False, True])
async def test_a_lost_secret_is_replaced_at_both_ends(*, readonly: bool) -> None:
    async with Cluster(FakeAgent("n1"), Forgetful("n2")) as cluster, serving(cluster):
        volume = await published(cluster, readonly=readonly)
        before = cluster["n1"].entries[volume, "n2"].request
        old = await lose(cluster, volume)
        await until(lambda: settled(cluster, volume, old=old))
        assert cluster["n1"].entries[volume, "n2"].request == before
        await asyncio.sleep(0.1)
        assert cluster["n2"].calls.count("hold") == 2


async def test_however_it_was_published_the_publication_stays_the_same() -> None:
    block = dataclasses.replace(MOUNT, access=BLOCK.access)
    async with Cluster(FakeAgent("n1"), Forgetful("n2")) as cluster, serving(cluster):
        volume = await published(cluster, block)
        before = cluster["n1"].entries[volume, "n2"].request
        old = await lose(cluster, volume)
        await until(lambda: settled(cluster, volume, old=old))
        assert cluster["n1"].entries[volume, "n2"].request == before


async def test_what_was_not_published_over_iscsi_is_left_alone() -> None:
    async with Cluster(FakeAgent("n1"), Forgetful("n2")) as cluster, serving(cluster):
        other = await made(cluster, "other", on="n1")
        local = await made(cluster, "local", on="n1")
        await cluster.controller.publish_volume(PublishVolume(id=str(local), node="n1", capability=MOUNT))
        cluster["n1"].calls.clear()
        cluster["n2"].want(other)
        cluster["n1"].want(local)
        await asyncio.sleep(0.1)
        assert cluster["n1"].calls == []
        assert "hold" not in cluster["n2"].calls


@pytest.mark.parametrize("verb", ["publish", "hold"])
async def test_it_is_tried_again_with_pauses_until_it_works(verb: str) -> None:
    async with Cluster(FakeAgent("n1"), Forgetful("n2")) as cluster, serving(cluster):
        volume = await published(cluster)
        agent = cluster["n1" if verb == "publish" else "n2"]
        agent.fail[verb] = Unavailable("connection lost")
        agent.calls.clear()
        old = await lose(cluster, volume)
        await asyncio.sleep(0.3)
        assert 3 <= agent.calls.count(verb) <= 20
        agent.fail.clear()
        await until(lambda: settled(cluster, volume, old=old))


async def test_one_that_hangs_does_not_hold_up_the_others() -> None:
    async with Cluster(FakeAgent("n1"), Forgetful("n2"), Forgetful("n3")) as cluster, serving(cluster):
        volume = await published(cluster)
        stuck = await made(cluster, "stuck", on="n1")
        await cluster.controller.publish_volume(PublishVolume(id=str(stuck), node="n3", capability=MOUNT))
        cluster["n3"].stall.add("hold")
        cluster["n3"].want(stuck)
        old = await lose(cluster, volume)
        await until(lambda: settled(cluster, volume, old=old))
        cluster["n3"].stall.clear()
        await until(lambda: not cluster["n3"].wanted)


async def test_it_waits_for_a_silent_storage_node_and_goes_on_when_it_is_back() -> None:
    async with Cluster(FakeAgent("n1"), Forgetful("n2")) as cluster, serving(cluster):
        volume = await published(cluster)
        await cluster.silence("n1")
        old = await lose(cluster, volume)
        await asyncio.sleep(0.05)
        assert volume not in cluster["n2"].held
        cluster["n1"].silent = False
        await until(lambda: settled(cluster, volume, old=old))


async def test_two_controllers_at_once_leave_one_secret_at_both_ends() -> None:
    agents = FakeAgent("n1"), Forgetful("n2")
    async with Cluster(*agents) as one, Cluster(*agents) as two:
        volume = await published(one)
        async with serving(one, two):
            for _ in range(20):
                old = await lose(one, volume)
                await until(lambda old=old: settled(one, volume, old=old) and not one["n2"].wanted)  # type: ignore[misc]
