"""The pool with less to do."""

from __future__ import annotations

from csi_driver.scheduler.request import PoolView, Request


class Spread:
    """Fewer creates that run there just now."""

    name = "spread"
    multiplier = 1.0

    def weigh(self, request: Request, view: PoolView) -> float:
        return -float(view.running)
