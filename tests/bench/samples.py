"""Timings of several ways to do one thing, taken in turns so that what else the machine does meets all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arm:
    """One way: ``act`` is timed, ``undo`` is not. Both get the number of the round."""

    act: Callable[[int], None]
    undo: Callable[[int], None]


def interleave(arms: Mapping[str, Arm], rounds: int, clock: Callable[[], float] = time.perf_counter) -> Timings:
    """Seconds of each arm in each round. Each round begins with another arm; a first round is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    names = list(arms)
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            began = clock()
            arms[name].act(number)
            took = clock() - began
            arms[name].undo(number)
            if number > 0:
                seconds[name].append(took)
    return Timings({name: tuple(taken) for name, taken in seconds.items()})


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds by arm."""

    seconds: Mapping[str, tuple[float, ...]]

    def median(self, arm: str) -> float:
        return statistics.median(self.seconds[arm])

    def ratio(self, arm: str, base: str) -> float:
        """Of medians."""
        return self.median(arm) / self.median(base)

    def show(self, arm: str) -> str:
        """Median and range in milliseconds."""
        taken = self.seconds[arm]
        return f"{self.median(arm) * 1000:.0f} ms ({min(taken) * 1000:.0f} to {max(taken) * 1000:.0f})"
