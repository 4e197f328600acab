"""Only pools whose node answers and is not withheld by its operator, and which have no trouble."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class Health:
    """Refuses what does not answer and what says itself that it takes nothing now."""

    name = "health"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        if view.silence:
            return f"the node does not answer: {view.silence}"
        return view.withheld or view.pool.problem or None
