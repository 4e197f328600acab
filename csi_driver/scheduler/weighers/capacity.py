"""The emptier pool."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Capacity:
    """Bytes left for such a volume. A negative multiplier fills one pool after the other."""

    name = "capacity"
    multiplier = 1.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        layout = request.layout
        return [(view.pool.free(layout) or 0) - view.reserved for view in views]
