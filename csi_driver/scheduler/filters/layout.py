"""Only pools that offer the layout."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler import columns
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class OffersLayout:
    """Refuses a pool without the layout asked for."""

    name = "layout"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        layout, refusal = request.layout, f"it offers no {request.layout} volumes"
        return [refusal if room is None else None for room in columns.free(layout, views)]
