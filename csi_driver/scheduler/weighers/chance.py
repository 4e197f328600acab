"""Any pool."""

from __future__ import annotations

import random
from collections.abc import Sequence

from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import Column


class Chance:
    """Drawn from the request's seed. Off unless it gets a multiplier: a small one scatters equals."""

    name = "chance"
    multiplier = 0.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        draw = random.Random(request.seed).random  # noqa: S311  # no secret
        return [draw() for _ in views]
