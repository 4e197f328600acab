"""The decision: filters say why not, weighers how good, as in OpenStack Cinder. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from operator import attrgetter, not_

from csi_driver.model.parameters import Choice
from csi_driver.model.sizes import MIB, MINIMUM_VOLUME_SIZE
from csi_driver.model.topology import Segment, Topology
from csi_driver.scheduler.decision import Decision, Refusals
from csi_driver.scheduler.filters import Filter
from csi_driver.scheduler.filters.access import AccessPolicy
from csi_driver.scheduler.filters.attempted import Attempted
from csi_driver.scheduler.filters.capabilities import Capabilities
from csi_driver.scheduler.filters.capacity import Capacity as RoomFilter
from csi_driver.scheduler.filters.expression import Expression, Query
from csi_driver.scheduler.filters.health import Health
from csi_driver.scheduler.filters.layout import OffersLayout
from csi_driver.scheduler.filters.neighbours import DifferentBackend, SameBackend
from csi_driver.scheduler.filters.pool import PoolName
from csi_driver.scheduler.filters.size import Rounding
from csi_driver.scheduler.filters.source import SourcePool
from csi_driver.scheduler.filters.topology import Requisite
from csi_driver.scheduler.ranking import Ranking, normalise
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Weigher
from csi_driver.scheduler.weighers.capacity import Capacity as RoomWeigher
from csi_driver.scheduler.weighers.chance import Chance
from csi_driver.scheduler.weighers.goodness import Goodness
from csi_driver.scheduler.weighers.locality import Locality
from csi_driver.scheduler.weighers.preference import Preference
from csi_driver.scheduler.weighers.spread import Spread
from csi_driver.scheduler.weighers.volumes import Allocated, Number

KIND: tuple[Filter, ...] = (
    SourcePool(),
    Health(),
    OffersLayout(),
    PoolName(),
    AccessPolicy(),
    Requisite(),
    Capabilities(),
    SameBackend(),
    DifferentBackend(),
    Attempted(),
)
SIZE: tuple[Filter, ...] = (Expression(), Query(), Rounding(), RoomFilter())
WEIGHERS: tuple[Weigher, ...] = (
    Preference(),
    Locality(),
    RoomWeigher(),
    Allocated(),
    Number(),
    Goodness(),
    Spread(),
    Chance(),
)
STEP = 128 * MIB
"""Of capacities, unless settings say otherwise."""
WEIGHER_NAMES = frozenset(each.name for each in WEIGHERS)
_NAME = attrgetter("name")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """The filters and weighers in force. ``kind`` filters look at what a pool is, ``size`` filters at how much is
    wanted too. What settings add stands behind ours.
    """

    kind: tuple[Filter, ...] = KIND
    size: tuple[Filter, ...] = SIZE
    weighers: tuple[Weigher, ...] = WEIGHERS
    multipliers: Mapping[str, float] = field(default_factory=dict)
    """In place of the weighers' own, by name; a class's go before."""
    choice: Choice = Choice.BEST
    """Of classes that say nothing."""
    step: int = STEP
    """Bytes: capacities are told in multiples of it, so that not every create changes them all."""

    @property
    def weigher_names(self) -> frozenset[str]:
        """What multipliers may be given for."""
        return frozenset(each.name for each in self.weighers)

    @property
    def filters(self) -> tuple[Filter, ...]:
        """All, in the order in which they are asked."""
        return self.kind + self.size

    def decide(self, request: Request, pools: Sequence[PoolView]) -> Decision:
        """Which pools will do, best first, and why the others will not. Equal ones stand by name."""
        views, refusals = sift(self.filters, request, sorted(pools, key=_NAME))
        weights, columns = self._weigh(request, views)
        choice = request.rules.choice if request.rules.choice is not Choice.DEFAULT else self.choice
        seed = request.seed if choice is Choice.STOCHASTIC else None
        candidates = Ranking(request, views, weights=weights, columns=columns, seed=seed)
        return Decision(request=request, candidates=candidates, refusals=refusals)

    def multiplier(self, weigher: Weigher, request: Request) -> float:
        """What a weigher counts for a request."""
        own = self.multipliers.get(weigher.name, weigher.multiplier)
        return request.rules.weights.get(weigher.name, own)

    def capacity(self, request: Request, pools: Sequence[PoolView], segment: Segment | None) -> Capacity:
        """The room of one segment, None: of all. The size in ``request`` does not matter.

        ``maximum`` bytes would be granted by ``decide`` to a create demanded from there; what would be granted at
        most is less than a step above. An expression may judge by size: it is taken for granted that it refuses no
        smaller volume than one that it lets pass.
        """
        if segment is not None:
            request = replace(request, topology=Topology(requisite=(segment,)))
        fit, _ = sift(self.kind, request, sorted(pools, key=_NAME))
        rooms = {view.name: _floor(view.room(request.layout), view.pool.unit(request.layout)) for view in fit}
        own = [view for view in fit if segment is None or segment.holds(view.labels)]
        return Capacity(
            available=_floor(sum(rooms[view.name] for view in own), self.step),
            maximum=max((self._largest(request, view, rooms[view.name]) for view in fit), default=0),
        )

    def _largest(self, request: Request, view: PoolView, room: int) -> int:
        """The largest multiple of a step that this pool would be given, up to ``room`` bytes; where even one is too
        much, the smallest volume that there is, or 0.
        """
        low, high = -(-MINIMUM_VOLUME_SIZE // self.step), room // self.step
        if low <= high and self._granted(request, view, high * self.step):
            return high * self.step
        best = 0
        while low < high:
            middle = (low + high) // 2
            if self._granted(request, view, middle * self.step):
                best, low = middle, middle + 1
            else:
                high = middle
        if best:
            return best * self.step
        return MINIMUM_VOLUME_SIZE if self._granted(request, view, MINIMUM_VOLUME_SIZE) else 0

    def _granted(self, request: Request, view: PoolView, size: int) -> bool:
        passed, _ = sift(self.size, replace(request, size=size, least=size, limit=None), [view])
        return bool(passed)

    def _weigh(self, request: Request, views: list[PoolView]) -> tuple[list[float], dict[str, list[float]]]:
        """The weighted sums, and the normalised columns of the weighers that count."""
        total, columns = [0.0] * len(views), {}
        for weigher in self.weighers:
            factor = self.multiplier(weigher, request)
            column = weigher.column(request, views) if factor and views else None
            if column is None:
                continue
            columns[weigher.name] = normal = normalise(column)
            total = [so_far + factor * weight for so_far, weight in zip(total, normal, strict=True)]
        return total, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """CSI ``GetCapacityResponse``: bytes of the segment's own disks, and the largest volume usable from there."""

    available: int
    maximum: int


def sift(filters: Sequence[Filter], request: Request, views: list[PoolView]) -> tuple[list[PoolView], Refusals]:
    """The pools that all filters let pass, in their order, and what the first that did not said of each other one."""
    refused = []
    for each in filters:
        reasons = each.reasons(request, views) if views else None
        if reasons is None or not any(reasons):
            continue
        # Without a tuple for each pool: making thousands of them wakes Python's garbage collector.
        refused.append((each.name, list(compress(views, reasons)), list(filter(None, reasons))))
        views = list(compress(views, map(not_, reasons)))
    return views, Refusals(refused)


def _floor(size: int, unit: int) -> int:
    return size // unit * unit
