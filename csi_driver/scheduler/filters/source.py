"""Only the pool that holds what the volume is made from: there it is made at once, without a copy."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class SourcePool:
    """Refuses every other pool; an empty source takes any."""

    name = "source"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if request.source and view.name != request.source:
            return f"what the volume is made from lies in {request.source}"
        return None
