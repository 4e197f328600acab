"""The pool near to what the hints name."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.neighbours import Neighbour
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Locality:
    """``near``: how many of those named are on the pool's node."""

    name = "locality"
    multiplier = 50.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        near = request.hints.near
        return [_shared(near, view.pool.node) for view in views] if near else None


def _shared(near: Sequence[Neighbour], node: str) -> float:
    return float(sum(node in each.places for each in near))
