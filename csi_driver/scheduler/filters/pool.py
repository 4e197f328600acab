"""Only pools of the name that the class asks for."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class PoolName:
    """Refuses other names; an empty one in the request takes any."""

    name = "pool"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if not request.pool:
            return None
        wanted, refusal = request.pool, f"the class asks for pool {request.pool}"
        return [None if view.pool.name == wanted else refusal for view in views]
