"""The pools that will do, best first. Each is described when it is looked at: mostly only the first is."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import overload

from csi_driver.scheduler.decision import Candidate
from csi_driver.scheduler.request import PoolView, Request


def normalise(column: Sequence[float]) -> list[float]:
    """Brought to 0..1 in the same order; all equal ones say nothing and become 0.

    An infinity stands as far outside the finite ones as these are apart; what is no number is the least.
    """
    if not math.isfinite(sum(column)) and not all(map(math.isfinite, column)):
        column = _finite(column)
    low, high = float(min(column, default=0.0)), float(max(column, default=0.0))
    span = high - low
    if not span:
        return [0.0] * len(column)
    if not math.isfinite(span):
        return normalise([weight / 4 for weight in column])
    return [(weight - low) / span for weight in column]


def _finite(column: Sequence[float]) -> list[float]:
    """The finite ones within 0..1, and the infinite ones outside."""
    inside = iter(normalise([weight for weight in column if math.isfinite(weight)]))
    return [next(inside) if math.isfinite(weight) else 2.0 if weight == math.inf else -1.0 for weight in column]


class Ranking(Sequence[Candidate]):
    """By weight, equal ones in the order given. With a ``seed`` the first one is drawn among the better half by
    weight, the likelier the heavier, so that many who choose at once do not all choose the same.
    """

    def __init__(
        self,
        request: Request,
        views: Sequence[PoolView],
        *,
        weights: Sequence[float],
        columns: Mapping[str, Sequence[float]],
        seed: str | None = None,
    ) -> None:
        self._request, self._views, self._weights, self._columns = request, views, weights, columns
        self._first = _best(weights) if seed is None else _drawn(weights, seed)
        self._order: list[int] | None = None

    def __len__(self) -> int:
        return len(self._views)

    @overload
    def __getitem__(self, index: int) -> Candidate: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Candidate]: ...

    def __getitem__(self, index: int | slice) -> Candidate | Sequence[Candidate]:
        if index == 0 and self._views:
            return self._describe(self._first)
        if isinstance(index, slice):
            return [self._describe(number) for number in self._sorted()[index]]
        return self._describe(self._sorted()[index])

    def _sorted(self) -> list[int]:
        if self._order is None:
            order = sorted(range(len(self._views)), key=self._weights.__getitem__, reverse=True)
            if order:
                order.remove(self._first)
                order.insert(0, self._first)
            self._order = order
        return self._order

    def _describe(self, number: int) -> Candidate:
        view = self._views[number]
        return Candidate(
            view=view,
            size=self._request.size_in(view.pool.unit(self._request.layout)) or 0,
            weight=self._weights[number],
            weights={name: column[number] for name, column in self._columns.items()},
        )


def _best(weights: Sequence[float]) -> int:
    return weights.index(max(weights)) if weights else 0


def _drawn(weights: Sequence[float], seed: str) -> int:
    if not weights:
        return 0
    low, high = min(weights), max(weights)
    floor = (low + high) / 2
    better = [number for number, weight in enumerate(weights) if weight >= floor]
    odds = [weights[number] - floor for number in better]
    if not any(odds):
        odds = [1.0] * len(better)
    return random.Random(seed).choices(better, odds)[0]  # noqa: S311  # no secret
