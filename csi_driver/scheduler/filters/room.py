"""Only pools with room, as last reported and less what is promised; the agent alone judges it in the end."""

from __future__ import annotations

from csi_driver.model.sizes import show
from csi_driver.scheduler.request import PoolView, Request


class Room:
    """Refuses a pool that is too full."""

    name = "room"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        size = request.size_in(view.pool.unit(request.layout))
        room = view.room(request.layout)
        if size is None or size <= room:
            return None
        promised = f", {show(view.reserved)} more are promised to creates that run" if view.reserved else ""
        return f"it has {show(room)} left for a {request.layout} volume of {show(size)}{promised}"
