"""What a StorageNode object says of a node, and what it says to us. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from csi_driver.fleet.state import NodeState
from csi_driver.kube.api import Json
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import show
from csi_driver.model.volume import Layout, Volume

GROUP_VERSION = "clinker.io/v1alpha1"
PATH = f"/apis/{GROUP_VERSION}/storagenodes"
READY, POOLS_HEALTHY, DRAINED = "Ready", "PoolsHealthy", "Drained"
"""Types of conditions."""
CORDONED = "the node is cordoned: spec.cordoned of its StorageNode is true"
DRAINING = "the node is being drained: spec.drain of its StorageNode is true"


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageNode:
    """One object, as it is kept in memory."""

    cordoned: bool
    drain: bool
    status: Json

    @property
    def withheld(self) -> str:
        """Why nothing new is to be made there, in words; empty when it may."""
        return DRAINING if self.drain else CORDONED if self.cordoned else ""


def read(item: Json) -> StorageNode:
    """The object, whatever is missing in it."""
    spec = item.get("spec") or {}
    return StorageNode(
        cordoned=bool(spec.get("cordoned")), drain=bool(spec.get("drain")), status=item.get("status") or {}
    )


def new(name: str) -> Json:
    """The object of a node that has none."""
    return {"apiVersion": GROUP_VERSION, "kind": "StorageNode", "metadata": {"name": name}, "spec": {}}


def status(state: NodeState, stored: StorageNode | None, *, now: str, further: Sequence[Json] = ()) -> Json:
    """What the object is to say, with ``further`` conditions. Of a silent node everything else stays as it was last
    written.

    ``now`` (RFC 3339) is when a condition changed that differs from the stored one.
    """
    before = stored.status if stored else {}
    old: dict[str, Json] = {each["type"]: each for each in before.get("conditions") or ()}
    conditions = [_ready(state), *further]
    if state.answering:
        told = _told(state)
        conditions.append(_pools_healthy(state.pools))
        conditions += [_drained(state)] if stored is not None and stored.drain else []
    else:
        told = {key: each for key, each in before.items() if key != "conditions"}
        fresh = {each["type"] for each in conditions}
        conditions += [each for kind, each in old.items() if kind not in fresh]
    dated = [_dated(each, old.get(each["type"]), now) for each in conditions]
    return {**told, "conditions": sorted(dated, key=lambda each: str(each["type"]))}


def _dated(condition: Json, old: Json | None, now: str) -> Json:
    """With ``lastTransitionTime``: since when its status is what it is."""
    since = old["lastTransitionTime"] if old and old["status"] == condition["status"] else now
    return {**condition, "lastTransitionTime": since}


def condition(kind: str, value: str, reason: str, message: str) -> Json:
    """One condition, its time not yet set."""
    return {"type": kind, "status": value, "reason": reason, "message": message}


def _ready(state: NodeState) -> Json:
    if state.answering:
        return condition(READY, "True", "Answering", "the agent answers")
    return condition(READY, "Unknown", "Silent", f"the node is neither empty nor gone, but its agent: {state.silence}")


def _pools_healthy(pools: Iterable[Pool]) -> Json:
    problems = [f"{pool.name}: {pool.problem}" for pool in pools if pool.problem]
    if problems:
        return condition(POOLS_HEALTHY, "False", "PoolProblem", "; ".join(sorted(problems)))
    return condition(POOLS_HEALTHY, "True", "NoProblem", "no pool has a problem")


def _drained(state: NodeState) -> Json:
    volumes, used = len(state.ready()), len(state.publications)
    if volumes or used:
        return condition(DRAINED, "False", "VolumesLeft", f"{volumes} volumes are left, {used} of them in use")
    return condition(DRAINED, "True", "Empty", "no volume is left")


def _told(state: NodeState) -> Json:
    """What an agent that answers says of itself."""
    info, pools, volumes = state.info, sorted(state.pools, key=lambda pool: pool.name), state.ready()
    found: dict[str, Any] = {
        "agentVersion": info.driver_version if info else "",
        "initiator": state.initiator,
        "portals": list(state.portals),
        "topology": dict(state.labels),
        "volumes": len(volumes),
        "publications": len(state.publications),
        "poolCount": len(pools),
        "capacity": show(sum(_capacity(pool, volumes) for pool in pools)),
        "free": show(sum(_free(pool) for pool in pools)),
        "allocated": show(sum(volume.size for volume in volumes)),
        "pools": [_pool(pool, volumes) for pool in pools],
    }
    return found


def _pool(pool: Pool, volumes: Iterable[Volume]) -> Json:
    """Sizes in bytes."""
    here = [volume for volume in volumes if volume.pool == pool.name]
    found: dict[str, Any] = {
        "name": pool.name,
        "volumeGroup": pool.vg,
        "capacity": _capacity(pool, here),
        "free": _free(pool),
        "allocated": sum(volume.size for volume in here),
        "volumes": len(here),
        "healthy": not pool.problem,
        "problem": pool.problem,
        "warnings": list(pool.warnings),
        "labels": dict(pool.labels),
    }
    if pool.thin_size:
        found["thin"] = {
            "size": pool.thin_size,
            "used": pool.thin_used,
            "allocated": pool.thin_allocated,
            "metadataSize": pool.metadata_size,
            "metadataUsed": pool.metadata_used,
        }
    return found


def _capacity(pool: Pool, volumes: Iterable[Volume]) -> int:
    """Bytes that all volumes of the pool may have together, as far as its figures tell."""
    if pool.thin_free is not None:
        return pool.thin_size
    thick = sum(each.size for each in volumes if each.pool == pool.name and each.layout is not Layout.THIN)
    return (pool.thick_free or 0) + thick


def _free(pool: Pool) -> int:
    """Bytes that new volumes of the layout that the pool is for may take."""
    return (pool.thick_free or 0) if pool.thin_free is None else pool.thin_free
