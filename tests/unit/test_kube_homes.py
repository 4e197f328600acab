"""Each claim says where its volume is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest

from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.kube.homes import CLAIMS, HOME, Homes
from csi_driver.kube.informer import Pauses
from csi_driver.model.volume import Content
from tests.unit.fake_agents import QUICK, FakeAgent, until
from tests.unit.kube_server import KubeServer, serving
from tests.unit.test_fleet_watch import volume

SHOP = "/api/v1/namespaces/shop/persistentvolumeclaims"


@dataclass
class World:
    server: KubeServer
    agents: dict[str, FakeAgent]

    async def claim(self, name: str, uid: str, home: str = "") -> None:
        metadata = {"name": name, "namespace": "shop", "uid": uid, "annotations": {HOME: home} if home else None}
        for path in (CLAIMS, SHOP):
            await self.server.put(path, {"metadata": metadata})

    def home(self, name: str) -> str:
        annotations: dict[str, Any] = self.server.objects[SHOP][name]["metadata"].get("annotations") or {}
        return str(annotations.get(HOME, ""))

    def make(self, node: str, uid: str, content: Content = Content.READY) -> None:
        made = replace(volume(f"pvc-{uid}", node), content=content)
        self.agents[node].volumes[made.id] = made
        self.agents[node].tell_all()

    def patches(self) -> int:
        return sum(request.method == "PATCH" for request in self.server.requests)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    agents = {name: FakeAgent(name) for name in ("n1", "n2")}
    fleet = Fleet([Member(name, agent) for name, agent in agents.items()], QUICK)
    async with serving() as (server, api):
        homes = Homes(api, fleet, period=0.02, pauses=Pauses(first=0.01, longest=0.02, between=0.01))
        await fleet.start()
        await fleet.wait_settled()
        task = asyncio.create_task(homes.run())
        yield World(server, agents)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await fleet.stop()


async def test_a_claim_gets_its_home_when_its_volume_is_made(world: World) -> None:
    await world.claim("data", "u1")
    await world.claim("other", "u2")
    await asyncio.sleep(0.1)
    assert world.patches() == 0
    world.make("n2", "u1", Content.CLAIMED)
    await asyncio.sleep(0.1)
    assert world.patches() == 0
    world.make("n2", "u1")
    await until(lambda: world.home("data") == "n2")
    assert world.home("other") == ""


async def test_a_home_that_is_right_is_not_written_and_a_wrong_one_is_mended(world: World) -> None:
    await world.claim("right", "u1", home="n1")
    await world.claim("wrong", "u2", home="n1")
    world.make("n1", "u1")
    world.make("n2", "u2")
    await until(lambda: world.home("wrong") == "n2")
    assert {request.path for request in world.server.requests if request.method == "PATCH"} == {f"{SHOP}/wrong"}


async def test_a_claim_made_anew_under_the_name_is_another_one(world: World) -> None:
    world.make("n1", "u1")
    await world.claim("data", "u9")
    await asyncio.sleep(0.1)
    assert world.patches() == 0


@pytest.mark.parametrize("status", [403, 404, 500])
async def test_what_could_not_be_written_is_tried_again(world: World, status: int) -> None:
    world.server.failures[f"{SHOP}/data"] = [status] * 2
    await world.claim("data", "u1")
    world.make("n1", "u1")
    await until(lambda: world.home("data") == "n1")
