"""The pool that the class's own expression finds better."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.expression import evaluate as expressions
from csi_driver.scheduler.expression.evaluate import value
from csi_driver.scheduler.expression.terms import NoValue
from csi_driver.scheduler.request import Get, PoolView, Request
from csi_driver.scheduler.weighers import Column

MOST = 100.0


class Goodness:
    """``goodness`` of the class: 0 to 100; true is 100. As in Cinder, what has no value or lies outside is 0."""

    name = "goodness"
    multiplier = 1.0

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        get = request.rules.goodness
        if get is None:
            return None
        values = expressions.column(get, request, views)
        return [_good(get, request, view) for view in views] if values is None else [_bounded(each) for each in values]


def _good(get: Get, request: Request, view: PoolView) -> float:
    try:
        return _bounded(value(get, request, view))
    except NoValue:
        return 0.0


def _bounded(found: bool | float) -> float:  # noqa: FBT001  # a value
    if isinstance(found, bool):
        return MOST if found else 0.0
    return float(found) if 0 <= found <= MOST else 0.0
