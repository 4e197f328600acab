"""Only pools whose extents can make the size."""

from __future__ import annotations

from csi_driver.model.sizes import show
from csi_driver.scheduler.request import PoolView, Request


class Rounding:
    """Refuses a pool where rounding to extents leaves the range that the caller allows."""

    name = "size"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if request.size_in(view.pool.extent) is not None:
            return None
        return (
            f"no multiple of its extents of {show(view.pool.extent)} lies between {show(request.least)} "
            f"and the limit of {show(request.limit or 0)}"
        )
