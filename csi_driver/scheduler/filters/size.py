"""Only pools whose extents can make the size."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.model.sizes import show
from csi_driver.scheduler import columns
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Rounding:
    """Refuses a pool where rounding to extents leaves the range that the caller allows."""

    name = "size"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if request.limit is None:
            return None
        units = columns.units(request.layout, views)
        wrong = {unit for unit in set(units) if request.size_in(unit) is None}
        if not wrong:
            return None
        return [_words(request, view, unit) if unit in wrong else None for view, unit in zip(views, units, strict=True)]


def _words(request: Request, view: PoolView, unit: int) -> str:
    what = "extents" if unit == view.pool.extent else f"{request.layout} stripes of extents"
    return (
        f"no multiple of its {what} of {show(unit)} lies between {show(request.least)} "
        f"and the limit of {show(request.limit or 0)}"
    )
