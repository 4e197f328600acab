"""A controller in Kubernetes: it finds agents by their pods, believes none without a proof, and follows them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.fleet.fleet import Fleet
from csi_driver.kit.effects import Effects
from csi_driver.settings import KubernetesSettings
from csi_driver.wiring.discovery import DiscoveryPart
from tests.unit.fake_agents import until
from tests.unit.kube_server import KubeServer, pod, review, serving
from tests.unit.rpc_fakes import Pki
from tests.unit.test_proven_link import Node


@dataclass(frozen=True)
class World:
    server: KubeServer
    node: Node
    fleet: Fleet
    part: DiscoveryPart


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    pki = Pki(tmp_path)
    node = Node(pki)
    await node.start()
    async with serving() as (server, _):
        settings = KubernetesSettings(
            namespace="clinker",
            selector="app=node",
            service_account="clinker-node",
            port=node.port,
            kubeconfig=str(server.kubeconfig(tmp_path)),
        )
        fleet = Fleet([], complete=False)
        part = DiscoveryPart(settings, pki.controller(), fleet, Effects(), period=0.05)
        yield World(server, node, fleet, part)
        await part.quiesce()
        await fleet.stop()
        await part.close()
    await node.stop()


async def test_an_agent_is_found_proven_heard_and_forgotten(world: World) -> None:
    server, fleet = world.server, world.fleet
    server.reviews["token-of-n1"] = review("n1")
    await server.put(KubeServer.NODES, {"metadata": {"name": "n1"}})
    await server.put(KubeServer.PODS, pod("p1", "n1"))
    await world.part.start()
    await fleet.start()
    await until(lambda: fleet.settled)
    assert fleet.node("n1").silence == "no pod of its agent has been seen"
    await server.put(KubeServer.PODS, pod("p1", "n1", "127.0.0.1"))
    await until(lambda: fleet.node("n1").answering)
    await until(lambda: "n1" in server.objects[KubeServer.STORAGE_NODES])
    for request in server.requests:
        assert request.headers["Authorization"] == "Bearer of-the-controller"
    await server.remove(KubeServer.PODS, "p1")
    await world.node.stop()
    await until(lambda: not fleet.node("n1").answering)
    await server.remove(KubeServer.NODES, "n1")
    await server.put(KubeServer.NODES, {"metadata": {"name": "other"}})
    await asyncio.sleep(0.1)
    assert [state.name for state in fleet.silent()] == ["n1"]
    await server.remove(KubeServer.STORAGE_NODES, "n1")
    await until(lambda: not fleet.nodes())


async def test_one_of_two_controllers_writes_and_an_operator_withholds(world: World) -> None:
    server, fleet = world.server, world.fleet
    server.reviews["token-of-n1"] = review("n1")
    await server.put(KubeServer.PODS, pod("p1", "n1", "127.0.0.1"))
    await world.part.start()
    await fleet.start()
    await until(lambda: "n1" in server.objects[KubeServer.STORAGE_NODES])
    [lease] = server.objects[KubeServer.LEASES].values()
    assert lease["metadata"]["name"] == "clinker-controller"
    made = server.objects[KubeServer.STORAGE_NODES]["n1"]
    await server.put(KubeServer.STORAGE_NODES, {**made, "spec": {"cordoned": True}})
    await until(lambda: "cordoned" in fleet.node("n1").withheld)
    await world.part.quiesce()
    assert server.objects[KubeServer.LEASES]["clinker-controller"]["spec"]["holderIdentity"] == ""


async def test_an_agent_with_another_node_s_token_is_not_heard(world: World) -> None:
    world.server.reviews["token-of-n1"] = review("n9")
    await world.server.put(KubeServer.PODS, pod("p1", "n1", "127.0.0.1"))
    await world.part.start()
    await world.fleet.start()
    await until(lambda: any("its token is from 'n9'" in state.silence for state in world.fleet.nodes()))
    assert world.node.answered("Watch") == 0


async def test_an_agent_that_moves_is_found_again(world: World) -> None:
    server, fleet = world.server, world.fleet
    server.reviews["token-of-n1"] = review("n1")
    await server.put(KubeServer.PODS, pod("p1", "n1", "127.0.0.9"))  # nobody is there
    await world.part.start()
    await fleet.start()
    await until(lambda: bool(fleet.nodes()) and "is not proven" in fleet.node("n1").silence)
    await server.remove(KubeServer.PODS, "p1")
    await server.put(KubeServer.PODS, pod("p2", "n1", "127.0.0.1"))
    await until(lambda: bool(fleet.answering()))


async def test_while_the_api_server_is_away_nothing_is_known(world: World) -> None:
    world.server.failures[KubeServer.NODES] = [503] * 1000
    await world.part.start()
    await world.fleet.start()
    await until(lambda: len(world.server.failures[KubeServer.NODES]) < 999)
    assert not world.fleet.settled


async def test_without_a_way_to_the_api_server(tmp_path: Path) -> None:
    settings = KubernetesSettings(
        namespace="clinker", selector="app=node", service_account="a", kubeconfig=str(tmp_path / "none")
    )
    part = DiscoveryPart(settings, Pki(tmp_path).controller(), Fleet([], complete=False), Effects())
    with pytest.raises(InvalidRequest, match="way to the Kubernetes API"):
        await part.start()
    await part.quiesce()
    await part.close()
