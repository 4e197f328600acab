"""The pool near to what the hints name."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Locality:
    """``near``: how many of those named are on the pool's node."""

    name = "locality"
    multiplier = 50.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        if not request.hints.near:
            return None
        column: list[float] = [0.0] * len(views)
        for each in request.hints.near:
            column = [shared + (view.pool.node in each.places) for shared, view in zip(column, views, strict=True)]
        return column
