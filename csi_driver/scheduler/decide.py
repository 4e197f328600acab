"""The decision: filters say why not, weighers how good, as in OpenStack Cinder. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from csi_driver.model.sizes import MINIMUM_VOLUME_SIZE
from csi_driver.model.topology import Segment, Topology
from csi_driver.scheduler.decision import Candidate, Decision, Refusal
from csi_driver.scheduler.filters import Filter
from csi_driver.scheduler.filters.access import AccessPolicy
from csi_driver.scheduler.filters.health import Health
from csi_driver.scheduler.filters.layout import OffersLayout
from csi_driver.scheduler.filters.pool import PoolName
from csi_driver.scheduler.filters.room import Room
from csi_driver.scheduler.filters.size import Rounding
from csi_driver.scheduler.filters.source import SourcePool
from csi_driver.scheduler.filters.topology import Requisite
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Weigher
from csi_driver.scheduler.weighers.free import Free
from csi_driver.scheduler.weighers.preference import Preference
from csi_driver.scheduler.weighers.spread import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """The filters and weighers in force. ``kind`` filters look at what a pool is, ``size`` filters at how much."""

    kind: tuple[Filter, ...] = (
        SourcePool(),
        Health(),
        OffersLayout(),
        PoolName(),
        AccessPolicy(),
        Requisite(),
    )
    size: tuple[Filter, ...] = (Rounding(), Room())
    weighers: tuple[Weigher, ...] = (Preference(), Free(), Spread())

    def decide(self, request: Request, pools: Sequence[PoolView]) -> Decision:
        """Which pools will do, best first, and why the others will not. Equal ones stand by name."""
        passed: list[PoolView] = []
        refusals: list[Refusal] = []
        for view in sorted(pools, key=lambda each: (each.pool.node, each.pool.name)):
            refusal = _refusal(self.kind + self.size, request, view)
            if refusal is None:
                passed.append(view)
            else:
                refusals.append(refusal)
        return Decision(request=request, candidates=self._rank(request, passed), refusals=tuple(refusals))

    def capacity(self, request: Request, pools: Sequence[PoolView], segment: Segment | None) -> Capacity:
        """The room of one segment, None: of all. The size in ``request`` does not matter.

        ``maximum`` bytes would be granted by ``decide`` to a create demanded from there, an extent more would not.
        """
        if segment is not None:
            request = replace(request, topology=Topology(requisite=(segment,)))
        fit = [view for view in pools if _refusal(self.kind, request, view) is None]
        rooms = {view.name: _floor(view, request) for view in fit}
        own = [view for view in fit if segment is None or segment.holds(view.labels)]
        return Capacity(
            available=sum(rooms[view.name] for view in own),
            maximum=max((room for room in rooms.values() if room >= MINIMUM_VOLUME_SIZE), default=0),
        )

    def _rank(self, request: Request, views: Sequence[PoolView]) -> tuple[Candidate, ...]:
        columns = {
            weigher.name: _normalise([weigher.weigh(request, view) for view in views]) for weigher in self.weighers
        }
        candidates = []
        for n, view in enumerate(views):
            weights = {name: column[n] for name, column in columns.items()}
            weight = sum(weigher.multiplier * weights[weigher.name] for weigher in self.weighers)
            size = request.size_in(view.pool.unit(request.layout))
            if size is not None:
                candidates.append(Candidate(view=view, size=size, weight=weight, weights=weights))
        # The views come sorted by name, and sorting keeps the order of equals.
        return tuple(sorted(candidates, key=lambda each: -each.weight))


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """CSI ``GetCapacityResponse``: bytes of the segment's own disks, and the largest volume usable from there."""

    available: int
    maximum: int


def _refusal(filters: Sequence[Filter], request: Request, view: PoolView) -> Refusal | None:
    for each in filters:
        if (reason := each.refusal(request, view)) is not None:
            return Refusal(pool=view.name, filter=each.name, reason=reason)
    return None


def _normalise(weights: Sequence[float]) -> list[float]:
    """Brought to 0..1; all equal ones say nothing and become 0."""
    low, high = min(weights, default=0.0), max(weights, default=0.0)
    if low == high:
        return [0.0] * len(weights)
    return [(weight - low) / (high - low) for weight in weights]


def _floor(view: PoolView, request: Request) -> int:
    unit = view.pool.unit(request.layout)
    return view.room(request.layout) // unit * unit
