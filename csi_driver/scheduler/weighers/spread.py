"""The pool with less to do."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Spread:
    """Fewer creates that run there just now."""

    name = "spread"
    multiplier = 1.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        return [-view.running for view in views]
