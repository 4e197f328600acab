"""What a scheduler makes of a fleet and a stream of requests, to compare policies by. Pure; one seed, one outcome."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from csi_driver.model.parameters import Parameters
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import MIB
from csi_driver.model.topology import NODE_KEY, ZONE_KEY, Segment, Topology
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import Scheduler
from csi_driver.scheduler.request import PoolView, Request, Rules

EXTENT = 4 * MIB


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: bytes, and the node of its pod."""

    size: int
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a stream. Fill is the part of a pool's room that was given out, 0 to 1."""

    placed: int
    refused: int
    local: int
    """Volumes that came to lie on the node of their pod."""
    least_fill: float
    mean_fill: float
    most_fill: float
    refusals: Mapping[str, int]
    """Pools that each filter refused for a request that found none."""

    @property
    def imbalance(self) -> float:
        """Between the fullest pool and the mean."""
        return self.most_fill - self.mean_fill

    @property
    def locality(self) -> float:
        """Of the volumes that were placed, the part that is local."""
        return self.local / self.placed if self.placed else 0.0


def pool(node: str, name: str, size: int, zone: str = "", labels: Mapping[str, str] | None = None) -> PoolView:
    """An empty thin pool of ``size`` bytes, on a node with portals."""
    free = size // EXTENT * EXTENT
    made = Pool(
        node=node,
        name=name,
        vg="vg",
        extent=EXTENT,
        thin_free=free,
        thick_free=free,
        thin_size=free,
        labels=labels or {},
    )
    return PoolView(pool=made, labels={NODE_KEY: node} | ({ZONE_KEY: zone} if zone else {}), exported=True)


def arrivals(count: int, sizes: Sequence[int], nodes: Sequence[str], seed: str) -> list[Arrival]:
    """Sizes and nodes, each as likely as the others."""
    draw = random.Random(seed)  # noqa: S311  # no secret
    return [Arrival(draw.choice(sizes), draw.choice(nodes)) for _ in range(count)]


def run(
    scheduler: Scheduler,
    pools: Sequence[PoolView],
    stream: Sequence[Arrival],
    parameters: Parameters,
    *,
    losses: Mapping[int, str] | None = None,
) -> Outcome:
    """Places each request, one after the other, by a class of ``parameters``. ``losses``: the node that falls silent
    before the request of that number. Raises InvalidRequest for a class that cannot be.
    """
    views = {view.name: view for view in pools}
    asks = rules.read(parameters, scheduler.weigher_names)
    placed = local = 0
    refusals: Counter[str] = Counter()
    for number, arrival in enumerate(stream):
        if losses and number in losses:
            lost = losses[number]
            views.update({n: replace(v, silence="lost") for n, v in views.items() if v.pool.node == lost})
        topology = _pods(arrival.node, views)
        request = _request(arrival, parameters, topology=topology, rules=asks, seed=str(number))
        decision = scheduler.decide(request, list(views.values()))
        if not decision.candidates:
            refusals.update(each.filter for each in decision.refusals)
            continue
        best = decision.candidates[0]
        views[best.view.name] = _with(best.view, best.size)
        placed += 1
        local += best.view.pool.node == arrival.node
    fills = [views[view.name].allocated / (view.pool.thin_free or 1) for view in pools]
    return Outcome(
        placed=placed,
        refused=len(stream) - placed,
        local=local,
        least_fill=min(fills, default=0.0),
        mean_fill=sum(fills) / len(fills) if fills else 0.0,
        most_fill=max(fills, default=0.0),
        refusals=dict(refusals),
    )


def _request(arrival: Arrival, parameters: Parameters, *, topology: Topology, rules: Rules, seed: str) -> Request:
    return Request(
        size=arrival.size,
        least=arrival.size,
        layout=parameters.layout,
        access=parameters.access,
        pool=parameters.pool,
        topology=topology,
        parameters=parameters.given,
        rules=rules,
        seed=seed,
    )


def _pods(node: str, views: Mapping[str, PoolView]) -> Topology:
    """As with WaitForFirstConsumer: the pod's node first, usable from there."""
    zones = {view.pool.node: view.labels.get(ZONE_KEY, "") for view in views.values()}
    zone = zones.get(node, "")
    segment = Segment.of({NODE_KEY: node} | ({ZONE_KEY: zone} if zone else {}))
    return Topology(requisite=(segment,), preferred=(segment,))


def _with(view: PoolView, size: int) -> PoolView:
    """The pool after a volume of ``size`` bytes."""
    thin, thick = (view.pool.thin_free or 0) - size, (view.pool.thick_free or 0) - size
    filled = replace(view.pool, thin_free=thin, thick_free=thick, thin_allocated=view.pool.thin_allocated + size)
    return replace(view, pool=filled, volumes=view.volumes + 1, allocated=view.allocated + size)
