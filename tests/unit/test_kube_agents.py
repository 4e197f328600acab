"""Which nodes are known, and where their agents are: a node is forgotten only when nothing of it is left."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import suppress

import pytest

from csi_driver import DRIVER_NAME
from csi_driver.kube.agents import AgentPod, Agents, Discovery, Seen, Withheld, known, read_csi_node, read_pod
from csi_driver.kube.informer import Pauses
from csi_driver.settings import KubernetesSettings
from tests.unit.fake_agents import until
from tests.unit.kube_server import KubeServer, csi_node, pod, serving

SETTINGS = KubernetesSettings(namespace="clinker", selector="app=node", service_account="clinker-node")


def agent(node: str, address: str = "10.0.0.1", *, ending: bool = False, made: str = "2026-11-01") -> AgentPod:
    return AgentPod(node=node, address=address, ending=ending, made=made)


# -- the rule


def test_a_node_with_our_pod_is_known() -> None:
    assert known({}, Seen(pods=[agent("n1"), agent("n2", "")], nodes=["n1", "n2", "n3"])) == {
        "n1": "10.0.0.1",
        "n2": "",
    }


def test_a_node_where_kubelet_has_us_is_known_before_its_pod_is_seen() -> None:
    assert known({}, Seen(nodes=["n1", "n2"], registered=["n1"])) == {"n1": ""}


@pytest.mark.parametrize(
    ("seen", "kept"),
    [
        (Seen(nodes=["n1"]), True),
        (Seen(registered=["n1"]), True),
        (Seen(stored=["n1"]), True),
        (Seen(nodes=["n2"], registered=["n2"], stored=["n2"]), False),
    ],
    ids=["its Node", "its CSINode", "its StorageNode", "none of them"],
)
def test_a_node_whose_pod_went_stays_known_as_long_as_it_exists(seen: Seen, kept: bool) -> None:
    now = known({"n1": "10.0.0.1"}, seen)
    assert now.get("n1") == ("10.0.0.1" if kept else None)


def test_a_pod_without_its_node_object_is_enough() -> None:
    assert known({}, Seen(pods=[agent("n1")])) == {"n1": "10.0.0.1"}


@pytest.mark.parametrize(
    "other",
    [
        agent("n1", "10.0.0.1", ending=True, made="2026-11-09"),
        agent("n1", "10.0.0.1", made="2026-10-01"),
        agent("n1", "", made="2026-11-09"),
    ],
    ids=["one that ends", "an older one", "one that has no address yet"],
)
def test_of_two_pods_on_a_node_the_better_one_counts(other: AgentPod) -> None:
    better = agent("n1", "10.0.0.2")
    for pods in ([better, other], [other, better]):
        assert known({}, Seen(pods=pods)) == {"n1": "10.0.0.2"}


def test_a_node_that_only_has_a_storage_node_is_known_to_a_controller_that_starts() -> None:
    assert known({}, Seen(nodes=["n2"], stored=["n1"])) == {"n1": ""}


def test_what_is_read_of_a_pod() -> None:
    assert read_pod(pod("p", "")) is None
    assert read_pod(pod("p", "n1")) == AgentPod(node="n1", address="", ending=False, made="2026-11-01T00:00:00Z")
    assert read_pod(pod("p", "n1", "fd00::1", ending=True)) == AgentPod(
        node="n1", address="fd00::1", ending=True, made="2026-11-01T00:00:00Z"
    )
    failed = read_pod({**pod("p", "n1"), "status": {"phase": "Failed", "podIP": "10.0.0.1"}})
    assert failed is not None
    assert failed.ending


def test_what_is_read_of_a_csi_node() -> None:
    assert read_csi_node(csi_node("n1", "other.example", DRIVER_NAME)) is True
    assert read_csi_node(csi_node("n1", "other.example")) is None
    assert read_csi_node({"metadata": {"name": "n1"}, "spec": {"drivers": None}}) is None


# -- over the API


async def test_nodes_come_and_go() -> None:
    told: list[Agents] = []
    async with serving() as (server, api):
        for node in ("n1", "n2"):
            await server.put(KubeServer.NODES, {"metadata": {"name": node}})
        await server.put(KubeServer.PODS, pod("a", "n1", "10.0.0.1"))
        await server.put(KubeServer.CSI_NODES, csi_node("n2"))
        server.failures[KubeServer.CSI_NODES] = [500] * 3
        discovery = Discovery(
            api, SETTINGS, lambda agents, _: told.append(agents), Pauses(first=0.01, longest=0.02, between=0.01)
        )
        task = asyncio.create_task(discovery.run())
        await until(lambda: bool(told))
        # Nothing is told before everything was listed: what is not known yet is not absent.
        assert not server.failures[KubeServer.CSI_NODES]
        assert told == [{"n1": "10.0.0.1"}]
        await server.put(KubeServer.PODS, pod("b", "n2", "10.0.0.2"))
        await until(lambda: told[-1] == {"n1": "10.0.0.1", "n2": "10.0.0.2"})
        await server.remove(KubeServer.PODS, "a")
        await server.put(KubeServer.PODS, pod("c", "n1", "10.0.0.9"))
        await until(lambda: told[-1] == {"n1": "10.0.0.9", "n2": "10.0.0.2"})
        assert all("n1" in each for each in told)
        await server.remove(KubeServer.PODS, "b")
        await server.remove(KubeServer.NODES, "n2")
        await until(lambda: told[-1] == {"n1": "10.0.0.9"})
        assert all(before != after for before, after in itertools.pairwise(told))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_operators_withhold_nodes_and_what_we_write_ourselves_tells_nobody() -> None:
    told: list[tuple[Agents, Withheld]] = []
    path = KubeServer.STORAGE_NODES
    async with serving() as (server, api):
        await server.put(path, {"metadata": {"name": "n1"}})
        pauses = Pauses(first=0.01, longest=0.02, between=0.01)
        discovery = Discovery(api, SETTINGS, lambda *known: told.append(known), pauses)
        task = asyncio.create_task(discovery.run())
        await until(lambda: told == [({"n1": ""}, {})])
        await server.put(path, {"metadata": {"name": "n1"}, "spec": {"cordoned": True}})
        await until(lambda: len(told) == 2)
        assert "spec.cordoned" in told[-1][1]["n1"]
        await server.put(path, {"metadata": {"name": "n1"}, "spec": {"cordoned": True}, "status": {"volumes": 7}})
        await until(lambda: discovery.stored.objects["n1"].status == {"volumes": 7})
        assert len(told) == 2
        await server.put(path, {"metadata": {"name": "n1"}, "spec": {"drain": True}})
        await until(lambda: len(told) == 3)
        assert "spec.drain" in told[-1][1]["n1"]
        await server.remove(path, "n1")
        await until(lambda: told[-1] == ({}, {}))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
