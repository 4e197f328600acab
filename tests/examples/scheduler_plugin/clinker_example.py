"""A filter and a weigher of a third party: see pyproject.toml beside it."""

from __future__ import annotations

from csi_driver.scheduler.filters import PoolFilter
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import PoolWeigher


class QuietHours(PoolFilter):
    """Refuses pools whose label ``quiet`` is ``yes``."""

    name = "quiet-hours"

    def refusal(self, request: Request, view: PoolView) -> str | None:
        return "it is kept quiet by its label" if view.pool.labels.get("quiet") == "yes" else None


class Rack(PoolWeigher):
    """Prefers the rack with the lower number."""

    name = "rack"
    multiplier = 10.0

    def weigh(self, request: Request, view: PoolView) -> float:
        return -float(view.pool.labels.get("rack", "inf"))
