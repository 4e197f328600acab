"""Only pools that offer the layout."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class OffersLayout:
    """Refuses a pool without the layout asked for."""

    name = "layout"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if view.pool.free(request.layout) is None:
            return f"it offers no {request.layout} volumes"
        return None
