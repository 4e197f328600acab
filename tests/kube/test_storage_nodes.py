"""Nodes are known, silent and forgotten as the API server's objects say, with no more rights than the chart gives."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import Denied
from csi_driver.kube.api import connect
from tests.kube import objects
from tests.kube.objects import CONTROLLER, STORAGE_NODES
from tests.kube.world import World, eventually

COLUMNS = ["Name", "Ready", "Healthy", "Cordoned", "Pools", "Volumes", "Capacity", "Free", "Allocated", "Age"]


async def test_a_node_that_answers_has_its_object_and_people_see_it(world: World) -> None:
    controller = await world.controller()
    await world.until("Ready", "True")
    stored = await world.stored()
    assert stored is not None
    assert stored["spec"] == {"cordoned": False, "drain": False}
    assert stored["status"]["volumes"] == 0
    [row] = await world.admin.table(STORAGE_NODES)
    assert list(row) == COLUMNS
    assert (row["Name"], row["Ready"], row["Cordoned"], row["Pools"]) == ("n1", "True", "False", "0")
    assert controller.fleet.settled


async def test_an_operator_cordons_a_node(world: World) -> None:
    controller = await world.controller()
    await world.until("Ready", "True")

    async def withheld(word: str) -> bool:
        return word in controller.fleet.node("n1").withheld if word else not controller.fleet.node("n1").withheld

    for spec, word in (({"cordoned": True}, "cordoned"), ({"drain": True}, "drained")):
        await world.admin.api.merge(f"{STORAGE_NODES}/n1", {"spec": spec})
        await eventually(lambda word=word: withheld(word))  # type: ignore[misc]  # a default is no parameter

    await world.until("Drained", "True")
    await world.admin.api.merge(f"{STORAGE_NODES}/n1", {"spec": {"cordoned": False, "drain": False}})
    await eventually(lambda: withheld(""))


async def test_a_node_of_which_nothing_but_its_object_is_left_is_silent_until_that_is_deleted(world: World) -> None:
    first = await world.controller()
    await world.until("Ready", "True")
    await world.node.stop()
    await world.admin.delete(f"{objects.PODS}/node-n1")
    await world.admin.delete(f"{objects.NODES}/n1")
    await world.until("Ready", "Unknown")
    await first.stop()
    world.running.clear()

    # One that starts now knows it as well.
    second = await world.controller()
    await second.fleet.wait_settled()
    assert [state.name for state in second.fleet.silent()] == ["n1"]
    await world.admin.delete(f"{STORAGE_NODES}/n1")

    async def forgotten() -> bool:
        return not second.fleet.nodes()

    await eventually(forgotten)
    assert await world.stored() is None


async def test_a_deleted_object_of_a_node_that_is_there_does_not_make_it_forgotten(world: World) -> None:
    controller = await world.controller()
    await world.until("Ready", "True")
    uid = ((await world.stored()) or {})["metadata"]["uid"]
    await world.admin.delete(f"{STORAGE_NODES}/n1")

    async def anew() -> bool:
        stored = await world.stored()
        return stored is not None and stored["metadata"]["uid"] != uid

    await eventually(anew)
    assert controller.fleet.node("n1").answering


async def test_of_two_controllers_one_writes_and_the_other_takes_over(world: World) -> None:
    first = await world.controller()
    await world.until("Ready", "True")
    second = await world.controller()
    await second.fleet.wait_settled()
    path = f"{objects.LEASES}/clinker-controller"
    holder = (await world.admin.api.get(path))["spec"]["holderIdentity"]
    await asyncio.sleep(4)  # the second one has asked for the lease by then
    assert (await world.admin.api.get(path))["spec"]["holderIdentity"] == holder
    await first.stop()
    world.running.remove(first)
    await world.node.stop()
    await world.until("Ready", "Unknown")
    after = (await world.admin.api.get(path))["spec"]
    assert after["holderIdentity"] not in ("", holder)
    assert after["leaseTransitions"] > 0


async def test_what_the_schema_does_not_know_is_refused(world: World) -> None:
    await world.controller()
    await world.until("Ready", "True")
    with pytest.raises(Exception, match="boolean"):
        await world.admin.api.merge(f"{STORAGE_NODES}/n1", {"spec": {"cordoned": "yes"}})


async def test_a_controller_may_neither_delete_nor_cordon(world: World) -> None:
    await world.controller()
    await world.until("Ready", "True")
    api = await connect(str(world.server.kubeconfig("c", token=await objects.token(world.admin.api, CONTROLLER))))
    try:
        with pytest.raises(Denied):
            await api.merge(f"{STORAGE_NODES}/n1", {"spec": {"cordoned": True}})
        for path in ("/api/v1/secrets", f"/api/v1/namespaces/{objects.NAMESPACE}/configmaps"):
            with pytest.raises(Denied):
                await api.get(path)
    finally:
        await api.close()
