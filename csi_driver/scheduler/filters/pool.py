"""Only pools of the name that the class asks for."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class PoolName:
    """Refuses other names; an empty one in the request takes any."""

    name = "pool"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if request.pool and view.pool.name != request.pool:
            return f"the class asks for pool {request.pool}"
        return None
