"""The places that the caller prefers, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from csi_driver.model.parameters import Access
from csi_driver.model.topology import NODE_KEY, Segment
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column

NEAR = 0.75
"""Of a preferred place's worth, for another node of its zone: above the next preferred place (a half)."""
LOWEST = 2.0**-1000
"""Worth of the thousandth place and all after it."""


class Preference:
    """Each preferred segment is worth half of the one before it, so the first that has room wins over all else.

    A class with access by network does not care where the pod runs.
    """

    name = "preferred"
    multiplier = 100.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        preferred = request.topology.preferred
        if not preferred or request.access is Access.NETWORK:
            return None
        table = _Worths(preferred)
        return [table.of(view.labels) for view in views]


NOTHING: Sequence[tuple[float, Segment]] = ()


class _Worths:
    """What each place is worth, found without going through all of them for each pool."""

    def __init__(self, preferred: Sequence[Segment]) -> None:
        self._nodes: dict[str, list[tuple[float, Segment]]] = {}
        self._rests: dict[Segment, float] = {}
        for position, segment in enumerate(preferred):
            worth = max(0.5**position, LOWEST) if position < 1000 else LOWEST
            labels = dict(segment.labels)
            node = labels.pop(NODE_KEY, "")
            if node:
                self._nodes.setdefault(node, []).append((worth, segment))
            if labels or not node:
                # Of a segment without a node, to be near is to be there.
                rest = Segment.of(labels)
                self._rests[rest] = max(self._rests.get(rest, 0.0), worth * (NEAR if node else 1.0))
        self._keys = sorted({key for rest in self._rests for key, _ in rest.labels})
        self._near: dict[tuple[str | None, ...] | str | None, float] = {}
        """Worth of zones and the like, by the values of ``_keys``: there are few."""

    def of(self, labels: Mapping[str, str]) -> float:
        # Mostly there is one key, the zone.
        where = labels.get(self._keys[0]) if len(self._keys) == 1 else tuple(map(labels.get, self._keys))
        best = self._near.get(where)
        if best is None:
            best = max((worth for rest, worth in self._rests.items() if rest.holds(labels)), default=0.0)
            self._near[where] = best
        for worth, segment in self._nodes.get(labels.get(NODE_KEY, ""), NOTHING):
            if worth > best and segment.holds(labels):
                best = worth
        return best
