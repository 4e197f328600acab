"""What is written on claims, and said of them, with the rights of the chart."""

from __future__ import annotations

from csi_driver.kube.api import connect
from csi_driver.kube.events import About, Events
from csi_driver.kube.homes import HOME
from csi_driver.model.inventory import Change
from csi_driver.model.volume import Content
from tests.kube import objects
from tests.kube.objects import CONTROLLER, Object
from tests.kube.world import World, eventually
from tests.unit.test_fleet_watch import volume

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"


async def made(world: World, name: str) -> Object:
    """A claim. Nobody here takes away the finalizer that protects it, so each test has its own."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
    return dict(await world.admin.api.post(CLAIMS, body))


async def test_a_claim_says_where_its_volume_is(world: World) -> None:
    claim = await made(world, "homed")
    try:
        await world.controller()
        await world.until("Ready", "True")
        home = volume(f"pvc-{claim['metadata']['uid']}", "n1")
        assert home.content is Content.READY
        await world.node.agent.changes.put(Change(volumes=(home,)))

        async def written() -> bool:
            now = await world.admin.api.get(f"{CLAIMS}/homed")
            return bool(now["metadata"].get("annotations", {}).get(HOME) == "n1")

        await eventually(written)
    finally:
        await world.admin.delete(f"{CLAIMS}/homed")


async def test_an_event_stands_at_its_claim_once(world: World) -> None:
    claim = await made(world, "told")
    api = await connect(str(world.server.kubeconfig("c", token=await objects.token(world.admin.api, CONTROLLER))))
    try:
        about = About(kind="PersistentVolumeClaim", name="told", namespace="default", uid=str(claim["metadata"]["uid"]))
        for _ in range(2):
            assert await Events(api).tell(about, reason="NoPool", message="n1/fast: full")
        listed = await world.admin.api.get(
            "/api/v1/namespaces/default/events", {"fieldSelector": f"involvedObject.uid={about.uid}"}
        )
        [event] = listed["items"]
        assert (event["reason"], event["message"]) == ("NoPool", "n1/fast: full")
    finally:
        await api.close()
        await world.admin.delete(f"{CLAIMS}/told")
