"""The pool that has given out less."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Allocated:
    """Fewer bytes of volumes, whatever the pool's own size. Off unless it gets a multiplier."""

    name = "allocated"
    multiplier = 0.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        return [-(view.allocated + view.reserved) for view in views]


class Number:
    """Fewer volumes. Off unless it gets a multiplier."""

    name = "volumes"
    multiplier = 0.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        return [-(view.volumes + view.running) for view in views]
