"""Only pools whose extents can make the size."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.model.sizes import show
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Rounding:
    """Refuses a pool where rounding to extents leaves the range that the caller allows."""

    name = "size"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if request.limit is None:
            return None
        return [_verdict(request, view) for view in views]


def _verdict(request: Request, view: PoolView) -> str | None:
    unit = view.pool.unit(request.layout)
    if request.size_in(unit) is not None:
        return None
    what = "extents" if unit == view.pool.extent else f"{request.layout} stripes of extents"
    return (
        f"no multiple of its {what} of {show(unit)} lies between {show(request.least)} "
        f"and the limit of {show(request.limit or 0)}"
    )
