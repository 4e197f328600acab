"""The emptier pool."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler import columns
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Capacity:
    """Bytes left for such a volume. A negative multiplier fills one pool after the other."""

    name = "capacity"
    multiplier = 1.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        rooms = columns.free(request.layout, views)
        return [(room or 0) - view.reserved for room, view in zip(rooms, views, strict=True)]
