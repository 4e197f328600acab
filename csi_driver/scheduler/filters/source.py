"""Only the pool that holds what the volume is made from: there it is made at once, without a copy."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class SourcePool:
    """Refuses every other pool; an empty source takes any."""

    name = "source"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        if not request.source:
            return None
        refusal = f"what the volume is made from lies in {request.source}"
        return [None if view.name == request.source else refusal for view in views]
