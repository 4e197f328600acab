"""The emptier pool."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class Free:
    """Bytes left for such a volume."""

    name = "free"
    multiplier = 1.0

    def weigh(self, request: Request, view: PoolView) -> float:
        return float(view.room(request.layout))
