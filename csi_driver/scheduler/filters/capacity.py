"""Only pools with room, as last reported and less what is promised; the agent alone judges it in the end.

An agent's report counts the claims of every controller, overcommit and what is held back; ``reserved`` is what this
controller has promised and the report does not show yet.
"""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.model.sizes import show
from csi_driver.model.volume import Layout
from csi_driver.scheduler import columns
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Capacity:
    """Refuses a pool that is too full."""

    name = "capacity"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        # A size that no multiple of its extents makes is the size filter's business.
        layout = request.layout
        units = columns.units(layout, views)
        sizes = {unit: request.size_in(unit) or 0 for unit in set(units)}
        rooms = columns.free(layout, views)
        return [
            None if sizes[unit] <= (room or 0) - view.reserved else _short(request, view, sizes[unit])
            for unit, room, view in zip(units, rooms, views, strict=True)
        ]


def _short(request: Request, view: PoolView, size: int) -> str | None:
    if not size:
        return None
    room = f"it has {show(view.room(request.layout))} left for a {request.layout} volume of {show(size)}"
    promised = f", {show(view.reserved)} more are promised to creates that run" if view.reserved else ""
    return room + promised + (_figures(view) if request.layout is Layout.THIN else "")


def _figures(view: PoolView) -> str:
    """How the room of a thin pool comes about."""
    if not view.pool.thin_size:
        return ""
    return f" ({show(view.pool.thin_allocated)} of volumes in a thin pool of {show(view.pool.thin_size)})"
