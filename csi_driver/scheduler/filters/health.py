"""Only pools whose node answers, and that nobody and nothing has closed."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request


class Health:
    """Refuses nodes that do not answer, are cordoned or drained, and pools that say themselves that they take nothing
    now: full, read-only, broken.
    """

    name = "health"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return [_trouble(view) if view.silence or view.withheld or view.pool.problem else None for view in views]


def _trouble(view: PoolView) -> str:
    if view.silence:
        return f"the node does not answer: {view.silence}"
    return view.withheld or view.pool.problem
