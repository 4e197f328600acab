"""StorageNodes are written for nodes that answer, and only when something has changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.kube import storage_node
from csi_driver.kube.informer import Informer, Pauses, Source
from csi_driver.kube.storage_nodes import StorageNodes
from tests.unit.fake_agents import QUICK, FakeAgent, until
from tests.unit.kube_server import KubeServer, Object, serving

PATH = KubeServer.STORAGE_NODES


@dataclass
class World:
    server: KubeServer
    fleet: Fleet
    agents: dict[str, FakeAgent]

    def ready(self, node: str) -> str:
        """The status of the condition Ready; empty before it is there."""
        found = self.server.objects[PATH].get(node, {}).get("status", {}).get("conditions", [])
        return next((each["status"] for each in found if each["type"] == "Ready"), "")

    def changes(self) -> int:
        return sum(request.method != "GET" for request in self.server.requests)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    agents = {name: FakeAgent(name) for name in ("n1", "n2")}
    agents["n2"].silent = True
    fleet = Fleet([Member(name, agent) for name, agent in agents.items()], QUICK)
    async with serving() as (server, api):
        pauses = Pauses(first=0.01, longest=0.02, between=0.01)
        stored = Informer(api, Source(path=PATH), read=storage_node.read, changed=lambda: None, pauses=pauses)
        await fleet.start()
        writer = StorageNodes(api, fleet, stored, period=0.02)
        tasks = [asyncio.create_task(stored.run()), asyncio.create_task(writer.run())]
        yield World(server, fleet, agents)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await fleet.stop()


async def test_one_is_made_only_for_a_node_that_answers(world: World) -> None:
    await until(lambda: world.ready("n1") == "True")
    assert world.server.objects[PATH].keys() == {"n1"}
    world.agents["n2"].silent = False
    await until(lambda: world.ready("n2") == "True")
    world.agents["n2"].go_silent()
    await until(lambda: world.ready("n2") == "Unknown")
    assert world.server.objects[PATH]["n2"]["status"]["poolCount"] == 1
    # The operator says that it is gone: it is not made again.
    await world.server.remove(PATH, "n2")
    changes = world.changes()
    await asyncio.sleep(0.2)
    assert world.server.objects[PATH].keys() == {"n1"}
    assert world.changes() == changes
    world.agents["n2"].silent = False
    await until(lambda: world.ready("n2") == "True")


async def test_nothing_is_written_when_nothing_has_changed(world: World) -> None:
    await until(lambda: world.ready("n1") == "True")
    await asyncio.sleep(0.1)
    changes = world.changes()
    await asyncio.sleep(0.3)
    assert world.changes() == changes == 2
    world.agents["n1"].problem = "a disk is missing"
    world.agents["n1"].tell_all()
    await until(lambda: world.changes() == 3)
    pools: list[Object] = world.server.objects[PATH]["n1"]["status"]["pools"]
    await until(lambda: world.server.objects[PATH]["n1"]["status"]["pools"][0]["problem"] == "a disk is missing")
    assert pools[0]["name"] == "data"


@pytest.mark.parametrize("status", [403, 409, 500])
async def test_a_write_that_fails_is_tried_again(world: World, status: int) -> None:
    await until(lambda: world.ready("n1") == "True")
    world.server.failures[f"{PATH}/n1/status"] = [status] * 3
    world.agents["n1"].go_silent()
    await until(lambda: world.ready("n1") == "Unknown")
    assert world.server.failures[f"{PATH}/n1/status"] == []
