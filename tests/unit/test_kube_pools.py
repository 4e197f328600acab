"""Pools as Kubernetes lists them: which node is told what, and what is refused in words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.kube.agents import read_labels
from csi_driver.kube.informer import Informer, Pauses, Source
from csi_driver.kube.pools import CONFIGURED, PoolIntent, PoolOrders, pools_of, read_entries
from csi_driver.settings import EVERYWHERE, KubernetesSettings, PoolSettings
from tests.unit.fake_agents import QUICK, FakeAgent, until
from tests.unit.kube_server import KubeServer, serving

MAPS = "/api/v1/namespaces/clinker/configmaps"
PAUSES = Pauses(first=0.01, longest=0.02, between=0.01)
FAST: dict[str, Any] = {"name": "fast", "vg": "vg0", "thin_pool": "thin", "nodes": ["*"]}
NVME: dict[str, Any] = {"name": "nvme", "vg": "vg1", "node_selector": {"disk": "nvme"}}
NAMED: dict[str, Any] = {"name": "named", "vg": "vg2", "nodes": ["n1"]}


# -- who gets what


def names(node: str, labels: dict[str, str], *entries: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {pool.name: pool.nodes for pool in pools_of(read_entries(json.dumps(entries)), node, labels)}


def test_a_node_gets_what_is_for_all_for_its_name_and_for_its_labels() -> None:
    entries = (FAST, NVME, NAMED)
    assert names("n1", {"disk": "nvme"}, *entries) == {"fast": EVERYWHERE, "nvme": (), "named": ()}
    assert names("n2", {"disk": "nvme", "x": "y"}, *entries) == {"fast": EVERYWHERE, "nvme": ()}
    assert names("n3", {"disk": "sas"}, *entries) == {"fast": EVERYWHERE}
    assert names("n1", {}, {**NAMED, "node_selector": {"disk": "nvme"}}) == {}


def test_two_entries_for_one_group_clash_where_both_are_and_nowhere_else() -> None:
    other = {**NVME, "name": "other", "vg": "vg0"}
    assert names("n1", {}, FAST, other) == {"fast": EVERYWHERE}
    with pytest.raises(InvalidRequest, match="volume group 'vg0': 'fast' and 'other'"):
        names("n1", {"disk": "nvme"}, FAST, other)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("{", "pools.json"),
        ("{}", "must be a list"),
        ("[1]", r"pools.json\[0\]: must be a table"),
        ('[{"name": "a"}]', r"pools.json\[0\].*vg"),
        ('[{"name": "a", "vg": "v", "colour": "red"}]', "unknown key 'colour'"),
        ('[{"name": "a", "vg": "v", "node_selector": ["x"]}]', "node_selector"),
    ],
)
def test_what_cannot_be_meant_is_refused(document: str, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        read_entries(document)


# -- over the API


@dataclass
class World:
    server: KubeServer
    agents: dict[str, FakeAgent]
    orders: PoolOrders

    async def want(self, *entries: dict[str, Any], text: str = "") -> None:
        item = {"metadata": {"name": "pools"}, "data": {"pools.json": text or json.dumps(entries)}}
        await self.server.put(MAPS, item)

    def condition(self, node: str) -> tuple[str, str]:
        for each in self.orders.conditions(node):
            if each["type"] == CONFIGURED:
                return str(each["status"]), str(each["message"])
        return "", ""

    def told(self, node: str) -> list[list[str]]:
        return [[pool.name for pool in pools] for pools in self.agents[node].chosen]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    agents = {name: FakeAgent(name) for name in ("n1", "n2")}
    fleet = Fleet([Member(name, agent) for name, agent in agents.items()], QUICK)
    settings = KubernetesSettings(namespace="clinker", selector="", service_account="", pools="pools")
    async with serving() as (server, api):
        for name, labels in (("n1", {"disk": "nvme"}), ("n2", {})):
            await server.put(KubeServer.NODES, {"metadata": {"name": name, "labels": labels}})
        nodes = Informer(api, Source(path=KubeServer.NODES), read=read_labels, changed=lambda: None, pauses=PAUSES)
        intent = PoolIntent(api, settings, PAUSES)
        orders = PoolOrders(fleet, intent, nodes, period=0.02)
        await fleet.start()
        await fleet.wait_settled()
        tasks = [asyncio.create_task(each.run()) for each in (nodes, intent, orders)]
        yield World(server, agents, orders)
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await fleet.stop()


async def test_each_node_is_told_its_own_once_and_again_when_they_change(world: World) -> None:
    await world.want(FAST, NVME)
    await until(lambda: world.told("n1") == [["fast", "nvme"]] and world.told("n2") == [["fast"]])
    await asyncio.sleep(0.1)
    assert len(world.told("n1")) == 1
    assert all(request.query["fieldSelector"] == "metadata.name=pools" for request in requests(world))
    await world.want(FAST)
    await until(lambda: world.told("n1") == [["fast", "nvme"], ["fast"]])
    # A label may bring a pool as well.
    await world.want(FAST, NVME)
    await world.server.put(KubeServer.NODES, {"metadata": {"name": "n2", "labels": {"disk": "nvme"}}})
    await until(lambda: world.told("n2")[-1] == ["fast", "nvme"])
    assert world.condition("n2") == ("True", "told to offer: fast, nvme")


def requests(world: World) -> list[Any]:
    return [request for request in world.server.requests if request.path == MAPS]


async def test_nobody_is_told_before_it_is_known_what_is_wanted(world: World) -> None:
    await asyncio.sleep(0.1)
    assert world.told("n1") == []
    await world.want()
    await until(lambda: world.told("n1") == [[]])
    await world.server.remove(MAPS, "pools")
    await asyncio.sleep(0.1)
    assert world.told("n1") == [[]]


async def test_what_clashes_is_refused_in_words_and_the_others_get_theirs(world: World) -> None:
    await world.want(FAST)
    await until(lambda: world.told("n1") == [["fast"]])
    await world.want(FAST, {**NVME, "vg": "vg0"}, NAMED | {"nodes": ["n2"]})
    await until(lambda: world.condition("n1")[0] == "False")
    assert "'fast' and 'nvme'" in world.condition("n1")[1]
    await until(lambda: world.told("n2")[-1] == ["fast", "named"])
    assert world.told("n1") == [["fast"]]
    await world.want(text="[")
    await until(lambda: world.condition("n2")[0] == "False")
    await world.want(FAST)
    await until(lambda: world.condition("n1")[0] == world.condition("n2")[0] == "True")


async def test_an_agent_that_refuses_or_does_not_answer_is_told_again(world: World) -> None:
    world.agents["n1"].fail["choose_pools"] = InvalidRequest("unknown key 'newer'")
    world.agents["n2"].go_silent()
    await world.want(FAST)
    await until(lambda: "unknown key 'newer'" in world.condition("n1")[1])
    world.agents["n1"].fail.clear()
    await until(lambda: world.told("n1") == [["fast"]])
    assert world.told("n2") == []
    world.agents["n2"].silent = False
    await until(lambda: world.told("n2") == [["fast"]])


async def test_who_is_told_gets_the_settings_of_a_pool_whole(world: World) -> None:
    full = {**NAMED, "thin_pool": "t", "overcommit": 2.5, "reserve": 7, "labels": {"a": "b"}}
    await world.want(full)
    await until(lambda: bool(world.told("n1")))
    assert world.agents["n1"].chosen == [
        (PoolSettings(name="named", vg="vg2", thin_pool="t", overcommit=2.5, reserve=7, labels={"a": "b"}),)
    ]
