"""Not the pools where this very request has failed: retry elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Attempted:
    """Refuses them with what went wrong there."""

    name = "attempted"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if not request.attempted:
            return None
        return [request.attempted.get(view.name) for view in views]
