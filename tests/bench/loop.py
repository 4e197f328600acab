"""The scheduler as a plain loop over dicts, in the manner of Cinder's filter and weight handlers: each filter is asked
of each host, one after the other; each weigher of each host; then all are normalised, summed and sorted.

It does what ours does for the bench's request, as simply as that can be written, without reasons for what it refuses.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from csi_driver.model.topology import NODE_KEY, ZONE_KEY
from csi_driver.scheduler.request import PoolView, Request

Host = dict[str, Any]
Spec = dict[str, Any]


def as_dict(view: PoolView) -> Host:
    return {
        "name": view.name,
        "node": view.pool.node,
        "pool_name": view.pool.name,
        "up": not view.silence and not view.withheld and not view.pool.problem,
        "thin_free": view.pool.thin_free,
        "extent": view.pool.extent,
        "reserved": view.reserved,
        "running": view.running,
        "volumes": view.volumes,
        "allocated": view.allocated,
        "exported": view.exported,
        "labels": dict(view.pool.labels),
        "topology": dict(view.labels),
    }


def spec(request: Request) -> Spec:
    return {
        "size": request.size,
        "limit": request.limit,
        "pool": request.pool,
        "requisite": [segment.to_map() for segment in request.topology.requisite],
        "preferred": [segment.to_map() for segment in request.topology.preferred],
        "extra_specs": {"tier": "s== ssd"},
        "same": set(request.hints.same[0].places),
        "different": set(request.hints.different[0].places),
        "near": set(request.hints.near[0].places),
        "attempted": set(request.attempted),
        "random": random.Random(request.seed),
    }


# -- filters


def passes_up(host: Host, _spec: Spec) -> bool:
    return bool(host["up"])


def passes_layout(host: Host, _spec: Spec) -> bool:
    return host["thin_free"] is not None


def passes_pool(host: Host, spec: Spec) -> bool:
    return not spec["pool"] or host["pool_name"] == spec["pool"]


def passes_topology(host: Host, spec: Spec) -> bool:
    for segment in spec["requisite"]:
        if (NODE_KEY in segment and host["exported"]) or segment.items() <= host["topology"].items():
            return True
    return not spec["requisite"]


def passes_capabilities(host: Host, spec: Spec) -> bool:
    for key, wish in spec["extra_specs"].items():
        words = wish.split()
        value = host["labels"].get(key)
        if value is None or (words[0] == "s==" and value != words[1]):
            return False
    return True


def passes_same(host: Host, spec: Spec) -> bool:
    return host["node"] in spec["same"]


def passes_different(host: Host, spec: Spec) -> bool:
    return host["node"] not in spec["different"]


def passes_attempted(host: Host, spec: Spec) -> bool:
    return host["name"] not in spec["attempted"]


def passes_query(host: Host, _spec: Spec) -> bool:
    return bool(host["thin_free"] - host["reserved"] >= 1048576)


def passes_size(host: Host, spec: Spec) -> bool:
    return bool(-(-spec["size"] // host["extent"]) * host["extent"] <= spec["limit"])


def passes_capacity(host: Host, spec: Spec) -> bool:
    return bool(-(-spec["size"] // host["extent"]) * host["extent"] <= host["thin_free"] - host["reserved"])


FILTERS: Sequence[Callable[[Host, Spec], bool]] = (
    passes_up,
    passes_layout,
    passes_pool,
    passes_topology,
    passes_capabilities,
    passes_same,
    passes_different,
    passes_attempted,
    passes_query,
    passes_size,
    passes_capacity,
)


# -- weighers


def weigh_preferred(host: Host, spec: Spec) -> float:
    best = 0.0
    for position, segment in enumerate(spec["preferred"]):
        if segment.items() <= host["topology"].items():
            best = max(best, 0.5**position)
        elif host["topology"].get(ZONE_KEY) == segment.get(ZONE_KEY):
            best = max(best, 0.75 * 0.5**position)
    return best


def weigh_near(host: Host, spec: Spec) -> float:
    return 1.0 if host["node"] in spec["near"] else 0.0


def weigh_capacity(host: Host, _spec: Spec) -> float:
    return float(host["thin_free"] - host["reserved"])


def weigh_allocated(host: Host, _spec: Spec) -> float:
    return -float(host["allocated"] + host["reserved"])


def weigh_volumes(host: Host, _spec: Spec) -> float:
    return -float(host["volumes"] + host["running"])


def weigh_goodness(host: Host, _spec: Spec) -> float:
    good = 100 - host["volumes"]
    return float(good) if 0 <= good <= 100 else 0.0


def weigh_running(host: Host, _spec: Spec) -> float:
    return -float(host["running"])


def weigh_chance(_host: Host, spec: Spec) -> float:
    drawn: float = spec["random"].random()
    return drawn


WEIGHERS: Sequence[tuple[Callable[[Host, Spec], float], float]] = (
    (weigh_preferred, 100.0),
    (weigh_near, 50.0),
    (weigh_capacity, 1.0),
    (weigh_allocated, 1.0),
    (weigh_volumes, 1.0),
    (weigh_goodness, 1.0),
    (weigh_running, 1.0),
    (weigh_chance, 1.0),
)


# -- the handlers


def filter_all(one: Callable[[Host, Spec], bool], hosts: Sequence[Host], spec: Spec) -> Iterator[Host]:
    for host in hosts:
        if one(host, spec):
            yield host


def normalise(weights: Sequence[float]) -> list[float]:
    low, high = min(weights), max(weights)
    return [(weight - low) / (high - low) if high > low else 0.0 for weight in weights]


def schedule(hosts: Sequence[Host], spec: Spec) -> list[Host]:
    """The hosts that pass, best first."""
    passed = list(hosts)
    for one in FILTERS:
        passed = list(filter_all(one, passed, spec))
    weighed: list[dict[str, Any]] = [{"host": host, "weight": 0.0} for host in passed]
    for weigh, multiplier in WEIGHERS:
        column = normalise([weigh(each["host"], spec) for each in weighed])
        for each, weight in zip(weighed, column, strict=True):
            each["weight"] += multiplier * weight
    weighed.sort(key=lambda each: each["weight"], reverse=True)
    return [each["host"] for each in weighed]
