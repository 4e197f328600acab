"""The places that the caller prefers, in its order."""

from __future__ import annotations

from csi_driver.model.parameters import Access
from csi_driver.model.topology import Segment
from csi_driver.scheduler.request import PoolView, Request

NEAR = 0.75
"""Of a preferred place's worth, for another node of its zone: above the next preferred place (a half)."""


class Preference:
    """Each preferred segment is worth half of the one before it, so the first that has room wins over all else.

    A class with access by network does not care where the pod runs.
    """

    name = "preferred"
    multiplier = 100.0

    def weigh(self, request: Request, view: PoolView) -> float:
        if request.access is Access.NETWORK:
            return 0.0
        preferred = request.topology.preferred
        return max((self._worth(n, segment, view) for n, segment in enumerate(preferred)), default=0.0)

    @staticmethod
    def _worth(position: int, segment: Segment, view: PoolView) -> float:
        if segment.holds(view.labels):
            return 0.5**position
        return NEAR * 0.5**position if segment.near(view.labels) else 0.0
