from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping

import pytest

from csi_driver.control.cluster import Claim
from csi_driver.control.service import Controller
from csi_driver.errors import InvalidRequest, NoCapacity, Unavailable
from csi_driver.model.topology import Segment, Topology
from tests.unit.create_orders import create, identity
from tests.unit.fake_agents import Cluster, FakeAgent


class FakeKubernetes:
    """Claims of one namespace by name: labels and annotations; pods and their nodes."""

    def __init__(self) -> None:
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, Mapping[str, str]] = {}
        self.pods: dict[str, str] = {}
        self.fail: Exception | None = None

    async def claim(self, namespace: str, name: str) -> Claim | None:
        await asyncio.sleep(0)
        if self.fail:
            raise self.fail
        return Claim(annotations=self.annotations[name]) if name in self.annotations else None

    async def claims(self, namespace: str, selector: str) -> tuple[str, ...]:
        await asyncio.sleep(0)
        return tuple(name for name, label in self.labels.items() if label == selector)

    async def node_of_pod(self, namespace: str, name: str) -> str:
        return self.pods.get(name, "")


class World:
    """Three nodes and a Kubernetes."""

    def __init__(self, cluster: Cluster) -> None:
        self.kubernetes = FakeKubernetes()
        self.fleet = cluster.fleet
        self.controller = Controller(dataclasses.replace(cluster.context, cluster=self.kubernetes))

    async def create(self, claim: str, parameters: Mapping[str, str] | None = None, *, at: str = "") -> str:
        """The node where the volume of that claim came to lie."""
        own = {"csi.storage.k8s.io/pvc/name": claim, "csi.storage.k8s.io/pvc/namespace": "shop"}
        preferred = (Segment.node(at),) if at else ()
        request = create(
            f"pvc-{claim}", parameters={**own, **(parameters or {})}, topology=Topology(preferred=preferred)
        )
        view = await self.controller.create_volume(request)
        return self.fleet.locate(identity(view)) or ""


def three() -> Cluster:
    return Cluster(FakeAgent("n1", zone="a"), FakeAgent("n2", zone="a"), FakeAgent("n3", zone="b"))


async def test_a_stateful_sets_volumes_are_spread_even_when_they_are_made_at_once() -> None:
    async with three() as cluster:
        world = World(cluster)
        world.kubernetes.labels = {f"db-{n}": "app=db" for n in range(4)}
        spread = {"antiAffinity": "claims:app=db"}
        nodes = await asyncio.gather(*(world.create(f"db-{n}", spread, at="n1") for n in range(3)))
        assert sorted(nodes) == ["n1", "n2", "n3"]
        with pytest.raises(NoCapacity, match=r"n1/data: claim shop/db-\d is on this node already"):
            await world.create("db-3", spread)


async def test_annotations_of_the_claim_are_hints_beside_those_of_the_class() -> None:
    async with three() as cluster:
        world = World(cluster)
        assert await world.create("logs", at="n2") == "n2"
        world.kubernetes.annotations["data"] = {"clinker.io/affinity": "claim:logs", "other.io/affinity": "?"}
        assert await world.create("data", at="n1") == "n2"
        world.kubernetes.annotations["more"] = {
            "clinker.io/anti-affinity": "claim:logs; claim:unknown",
            "clinker.io/affinity-scope": "zone",
        }
        assert await world.create("more", at="n1") == "n3"
        world.kubernetes.annotations["none"] = {"clinker.io/anti-affinity": "claim:logs"}
        with pytest.raises(NoCapacity, match="it must share its node with claim shop/data"):
            await world.create("none", {"affinity": "claim:data"})


async def test_affinity_by_volume_id_and_to_what_is_not_there_yet() -> None:
    async with three() as cluster:
        world = World(cluster)
        await world.create("a", at="n3")
        (volume,) = cluster.ready()
        assert await world.create("b", {"affinity": f"volume:{volume.id}"}, at="n1") == "n3"
        with pytest.raises(NoCapacity, match="it must be with claim shop/later, which has no place yet"):
            await world.create("c", {"affinity": "claim:later"})


async def test_near_a_pod_a_node_or_a_claim_is_a_wish() -> None:
    async with three() as cluster:
        world = World(cluster)
        world.kubernetes.pods["web"] = "n3"
        assert await world.create("a", {"near": "pod:web"}) == "n3"
        assert await world.create("b", {"near": "node:n2"}) == "n2"
        assert await world.create("c", {"near": "claim:a"}) == "n3"
        assert await world.create("d", {"near": "pod:gone; node:gone"}) in ("n1", "n2")


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"clinker.io/affinity": "db-0"}, "annotation clinker.io/affinity: 'db-0' is not one of volume:VALUE, claim:"),
        ({"clinker.io/affinity": "claim:"}, "'claim:' is not one of"),
        ({"clinker.io/affinity": "pod:web"}, "'pod:web' is not one of"),
        ({"clinker.io/near": "volume:x"}, "annotation clinker.io/near: 'x' is no volume id"),
        (
            {"clinker.io/affinity-scope": "rack"},
            "annotation clinker.io/affinity-scope: 'rack' is not one of node, pool",
        ),
        ({"clinker.io/near": ";".join(["node:n"] * 21)}, "21 terms, at most 20"),
        (
            {"clinker.io/antiaffinity": "claim:a"},
            "annotation clinker.io/antiaffinity is not known; clinker.io/anti-aff",
        ),
        ({"clinker.io/query": "[]"}, "annotation clinker.io/query: only a class may say this, as its parameter query"),
        ({"clinker.io/filter": "true"}, "only a class may say this"),
    ],
)
async def test_a_mistake_in_an_annotation_is_told_and_nothing_is_made(
    annotations: Mapping[str, str], words: str
) -> None:
    async with three() as cluster:
        world = World(cluster)
        world.kubernetes.annotations["data"] = annotations
        with pytest.raises(InvalidRequest, match=words):
            await world.create("data")
        assert cluster.ready() == []


async def test_what_others_write_on_a_claim_is_no_mistake() -> None:
    async with three() as cluster:
        world = World(cluster)
        world.kubernetes.annotations["data"] = {"clinker.io/home": "n1", "volume.kubernetes.io/selected-node": "n2"}
        assert await world.create("data", at="n1") == "n1"


async def test_while_kubernetes_does_not_answer_nothing_is_placed() -> None:
    async with three() as cluster:
        world = World(cluster)
        world.kubernetes.fail = Unavailable("the Kubernetes API does not answer")
        with pytest.raises(Unavailable, match="Kubernetes API"):
            await world.create("data")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"affinity": "claims:app=db"}, "claims:app=db is of the claim's namespace, which is not known"),
        ({"near": "pod:web"}, "pod:web is of the claim's namespace, which is not known"),
        ({"affinity": "x"}, "parameter affinity: 'x' is not one of volume:VALUE"),
        ({"affinityScope": "rack"}, "parameter affinityScope: 'rack' is not one of"),
        ({"filter": "pool.frei > 0"}, "parameter filter: there is no pool.frei"),
        ({"require.tier": "ssd"}, "parameter require.tier: there is no pool.tier"),
    ],
)
async def test_without_kubernetes_and_with_mistakes_in_the_class(parameters: Mapping[str, str], words: str) -> None:
    async with three() as cluster:
        with pytest.raises(InvalidRequest, match=words):
            await cluster.controller.create_volume(create(parameters=parameters))
