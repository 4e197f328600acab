"""A create over a large fleet: claim, look and commit, with agents in memory that take as long as real ones do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from csi_driver.control.requests import CreateVolume
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Limits
from tests.bench.figures import LOOK_1000, Measured
from tests.bench.samples import Timings
from tests.unit.fake_agents import MOUNT, Cluster, FakeAgent

T = TypeVar("T")
MANY, FEW = 1_000, 10
ROUNDS = 7
REAL = {"find": 0.021, "claim": 0.2, "commit": 0.03}
"""Seconds of an agent's verbs: the fastest of docs/benchmarks.md (a report of LVM; lvcreate and mkfs; one change of
tags)."""


class Agent(FakeAgent):
    """Answers after a while; ``seconds`` by verb."""

    def __init__(self, node: str, seconds: dict[str, float]) -> None:
        super().__init__(node, size=1000 * GIB)
        self.seconds = seconds

    async def _gated(self, name: str, act: Callable[[], T]) -> T:
        if name in self.seconds:
            await asyncio.sleep(self.seconds[name])
        return act()


def look_1000() -> Measured:
    """The ratio with real times; what the controller itself takes is in the notes, from agents that take none."""
    slow, quick = _measure(REAL), _measure({})
    notes = (
        f"agents as fast as real ones: {MANY} {slow.show('many')}; {FEW} {slow.show('few')}",
        f"agents that take no time: {MANY} {quick.show('many')}; {FEW} {quick.show('few')}",
    )
    return Measured(figure=LOOK_1000, value=slow.ratio("many", "few"), n=ROUNDS, notes=notes)


def _measure(seconds: dict[str, float]) -> Timings:
    return asyncio.run(_timings(seconds))


async def _timings(seconds: dict[str, float]) -> Timings:
    async with Cluster(*_agents(MANY, seconds), look=60) as many, Cluster(*_agents(FEW, seconds), look=60) as few:
        taken: dict[str, list[float]] = {"many": [], "few": []}
        for number in range(ROUNDS + 1):
            for name, cluster in (("many", many), ("few", few)):
                began = time.perf_counter()
                await _create(cluster, f"{name}-{number}")
                if number > 0:
                    taken[name].append(time.perf_counter() - began)
        return Timings({name: tuple(each) for name, each in taken.items()})


def _agents(number: int, seconds: dict[str, float]) -> list[Agent]:
    return [Agent(f"n{n:04}", seconds) for n in range(number)]


async def _create(cluster: Cluster, name: str) -> None:
    _ = await cluster.controller.create_volume(CreateVolume(name=name, capabilities=(MOUNT,), limits=Limits(GIB)))
