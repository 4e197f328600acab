"""What a StorageNode says: as its agent told, and of a silent node what was last known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from csi_driver.fleet.state import NodeState
from csi_driver.kube import storage_node
from csi_driver.kube.storage_node import StorageNode, read
from csi_driver.model.inventory import AgentInfo
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.volume import Layout, Volume
from tests.unit.test_fleet_watch import volume

THEN, NOW = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"
THIN = Pool(
    node="n1",
    name="fast",
    vg="vg0",
    extent=4 * MIB,
    thin_free=6 * GIB,
    thick_free=GIB,
    thin_size=10 * GIB,
    thin_used=GIB,
    thin_allocated=4 * GIB,
    labels={"disk": "nvme"},
)
THICK = Pool(node="n1", name="bulk", vg="vg1", extent=4 * MIB, thin_free=None, thick_free=5 * GIB, warnings=("a disk",))
INFO = AgentInfo(node="n1", boot_id="b", initiator="iqn.x", portals=("10.0.0.1:3260",), driver_version="0.1.0")


def state(*volumes: Volume, **over: Any) -> NodeState:
    base = NodeState(name="n1", silence="", info=INFO, pools=(THIN, THICK), volumes={each.id: each for each in volumes})
    return replace(base, **over)


def ready(name: str, pool: str, size: int, layout: Layout = Layout.THIN) -> Volume:
    return replace(volume(name, "n1"), pool=pool, size=size, layout=layout)


def conditions(status: Any) -> dict[str, dict[str, str]]:
    return {each["type"]: each for each in status["conditions"]}


def test_what_an_agent_told() -> None:
    told = state(ready("a", "fast", 4 * GIB), ready("b", "bulk", 2 * GIB, Layout.THICK))
    found = storage_node.status(told, None, now=NOW)
    assert [pool["name"] for pool in found["pools"]] == ["bulk", "fast"]
    bulk, fast = found["pools"]
    assert (bulk["capacity"], bulk["free"], bulk["allocated"], bulk["volumes"]) == (7 * GIB, 5 * GIB, 2 * GIB, 1)
    assert (fast["capacity"], fast["free"], fast["allocated"], fast["labels"]) == (
        10 * GIB,
        6 * GIB,
        4 * GIB,
        {"disk": "nvme"},
    )
    assert fast["thin"]["used"] == GIB
    assert (bulk["warnings"], fast["warnings"]) == (["a disk"], [])
    assert "thin" not in bulk
    assert (found["capacity"], found["free"], found["allocated"]) == ("17 GiB", "11 GiB", "6 GiB")
    assert (found["volumes"], found["poolCount"], found["agentVersion"]) == (2, 2, "0.1.0")
    assert {kind: each["status"] for kind, each in conditions(found).items()} == {
        "Ready": "True",
        "PoolsHealthy": "True",
    }


def test_a_condition_keeps_its_time_as_long_as_it_is_what_it_is() -> None:
    first = storage_node.status(state(), None, now=THEN)
    stored = StorageNode(cordoned=False, drain=False, status=first)
    sick = state(pools=(replace(THIN, problem="the metadata is full"), THICK))
    found = storage_node.status(sick, stored, now=NOW)
    assert conditions(found)["Ready"]["lastTransitionTime"] == THEN
    assert conditions(found)["PoolsHealthy"]["lastTransitionTime"] == NOW
    assert conditions(found)["PoolsHealthy"]["message"] == "fast: the metadata is full"
    assert storage_node.status(state(), stored, now=NOW) == first


def test_of_a_silent_node_all_but_its_silence_stays() -> None:
    first = storage_node.status(state(ready("a", "fast", GIB)), None, now=THEN)
    stored = StorageNode(cordoned=False, drain=False, status=first)
    # A controller that has just started has heard nothing of it.
    found = storage_node.status(NodeState(name="n1", silence="connection refused"), stored, now=NOW)
    assert conditions(found)["Ready"]["status"] == "Unknown"
    assert "connection refused" in conditions(found)["Ready"]["message"]
    assert conditions(found)["PoolsHealthy"] == conditions(first)["PoolsHealthy"]
    assert {**found, "conditions": ()} == {**first, "conditions": ()}


def test_a_node_that_is_drained_says_what_is_left() -> None:
    stored = StorageNode(cordoned=False, drain=True, status={})
    left = storage_node.status(state(ready("a", "fast", GIB)), stored, now=NOW)
    assert conditions(left)["Drained"]["status"] == "False"
    assert conditions(left)["Drained"]["message"].startswith("1 volumes are left")
    assert conditions(storage_node.status(state(), stored, now=NOW))["Drained"]["status"] == "True"
    back = StorageNode(cordoned=False, drain=False, status=left)
    assert "Drained" not in conditions(storage_node.status(state(), back, now=NOW))


def test_what_an_operator_wants() -> None:
    assert read({"metadata": {"name": "n1"}}).withheld == ""
    assert "cordoned" in read({"spec": {"cordoned": True}}).withheld
    assert "drained" in read({"spec": {"cordoned": True, "drain": True}}).withheld
    assert read({"spec": {"cordoned": False}, "status": {"volumes": 1}}).status == {"volumes": 1}
