"""Decisions over many pools, beside a plain loop over dicts in the manner of Cinder's handler. Needs no hosts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from csi_driver.model.parameters import parse
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import NODE_KEY, ZONE_KEY, Segment, Topology
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import WEIGHER_NAMES, Scheduler
from csi_driver.scheduler.neighbours import Hints, Neighbour
from csi_driver.scheduler.request import PoolView, Request
from tests.bench import loop
from tests.bench.figures import DECISION_EXPRESSION, DECISION_LINEAR, DECISION_VS_LOOP, Measured
from tests.bench.samples import Arm, Timings, interleave

POOLS, FEW = 10_000, 100
ROUNDS = 15
CLASS = {
    "pool": "data",
    "require.labels.tier": "s== ssd",
    "weights": "allocated=1, volumes=1, chance=1",
    "goodness": "100 - pool.volumes",
    "query": '[">=", "$free", 1048576]',
}
EXPRESSION = {"filter": 'pool.free >= request.size * 2 && pool.labels["tier"] == "ssd"'}
"""The two of docs/decisions/0010-expressions.md."""


def fleet(count: int) -> list[PoolView]:
    """Pools of three zones, two to a node, filled by chance; one in twenty is silent, one in ten has another label."""
    draw = random.Random(1)
    return [
        PoolView(
            pool=Pool(
                node=f"node-{n // 2:05}",
                name="data" if n % 2 else "more",
                vg="vg",
                extent=4 * MIB,
                thin_free=draw.randrange(10, 1000) * GIB,
                thick_free=draw.randrange(10, 1000) * GIB,
                labels={"tier": "hdd" if draw.random() < 0.1 else "ssd"},
            ),
            silence="connection refused" if draw.random() < 0.05 else "",
            labels={NODE_KEY: f"node-{n // 2:05}", ZONE_KEY: f"zone-{n // 2 % 3}"},
            exported=True,
            reserved=draw.randrange(3) * GIB,
            running=draw.randrange(3),
            volumes=draw.randrange(50),
            allocated=draw.randrange(500) * GIB,
        )
        for n in range(count)
    ]


def request(parameters: Mapping[str, str]) -> Request:
    """One that every filter and every weigher has something to say to."""
    preferred = tuple(Segment.of({NODE_KEY: f"node-{n:05}", ZONE_KEY: f"zone-{n % 3}"}) for n in (7, 3, 1))
    return Request(
        size=10 * GIB,
        least=10 * GIB,
        limit=20 * GIB,
        pool=parameters.get("pool", ""),
        topology=Topology(requisite=preferred, preferred=preferred),
        parameters=parameters,
        rules=rules.read(parse(parameters, {}), WEIGHER_NAMES),
        hints=Hints(
            same=(Neighbour(what="all", places=frozenset(f"node-{n:05}" for n in range(POOLS))),),
            different=(Neighbour(what="claim a/b", places=frozenset({"node-00004"})),),
            near=(Neighbour(what="claim a/c", places=frozenset({"node-00005"})),),
        ),
        attempted={"node-00006/data": "full"},
        seed="pvc-1",
    )


def vs_loop() -> Measured:
    """Both come to the same pools, in the same order, or the figure is worth nothing."""
    views, asked, scheduler = fleet(POOLS), request(CLASS), Scheduler()
    hosts, spec = [loop.as_dict(view) for view in views], loop.spec(asked)
    decided = scheduler.decide(asked, views)
    looped = loop.schedule(hosts, spec)
    if {each.view.name for each in decided.candidates} != {host["name"] for host in looped}:
        raise AssertionError("the loop lets other pools pass than the scheduler")
    timings = _time(
        ours=lambda: scheduler.decide(asked, views).candidates[0], loop=lambda: loop.schedule(hosts, spec)[0]
    )
    return Measured(
        figure=DECISION_VS_LOOP,
        value=timings.ratio("ours", "loop"),
        n=ROUNDS,
        notes=(f"ours {timings.show('ours')}; loop {timings.show('loop')}; {len(decided.candidates)} of {POOLS} pass",),
    )


def expression() -> Measured:
    """What an expression costs on top of a decision that has everything else of ``request``."""
    views, scheduler = fleet(POOLS), Scheduler()
    plain, more = request({}), request(EXPRESSION)
    timings = _time(
        without=lambda: scheduler.decide(plain, views).candidates[0],
        with_=lambda: scheduler.decide(more, views).candidates[0],
    )
    notes = (f"with {timings.show('with_')}; without {timings.show('without')}",)
    return Measured(figure=DECISION_EXPRESSION, value=timings.ratio("with_", "without"), n=ROUNDS, notes=notes)


def linear() -> Measured:
    """As many pools are decided over in both arms: once 10,000, and a hundred times 100."""
    many, few, scheduler, asked = fleet(POOLS), fleet(FEW), Scheduler(), request(CLASS)

    def often() -> None:
        for _ in range(POOLS // FEW):
            _ = scheduler.decide(asked, few).candidates[0]

    timings = _time(many=lambda: scheduler.decide(asked, many).candidates[0], few=often)
    notes = (f"10,000 at once {timings.show('many')}; 100 times 100 {timings.show('few')}",)
    return Measured(figure=DECISION_LINEAR, value=timings.ratio("many", "few"), n=ROUNDS, notes=notes)


def _time(**acts: Callable[[], Any]) -> Timings:
    return interleave({name: _arm(act) for name, act in acts.items()}, ROUNDS, time.process_time)


def _arm(act: Callable[[], Any]) -> Arm:
    return Arm(act=lambda _: act(), undo=lambda _: None)
