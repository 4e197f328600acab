"""Only pools for which the class's expression is true. Cinder calls this the driver filter."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.expression.evaluate import column, value
from csi_driver.scheduler.expression.terms import NoValue
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import Get, PoolView, Request


class Expression:
    """``filter`` of the class. Where it has no value the pool is refused, and why is said."""

    name = "expression"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        get = request.rules.expression
        return None if get is None else _judge("filter", get, request, views)


class Query:
    """``query`` of the class, in JSON. A claim cannot have one: it is for administrators."""

    name = "query"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        get = request.rules.query
        return None if get is None else _judge("query", get, request, views)


def _judge(what: str, get: Get, request: Request, views: Sequence[PoolView]) -> Reasons:
    refusal = f"the class's {what} is false here"
    values = column(get, request, views)
    if values is not None:
        return [None if true else refusal for true in values]
    return [_by_itself(what, get, request, view) for view in views]


def _by_itself(what: str, get: Get, request: Request, view: PoolView) -> str | None:
    try:
        return None if value(get, request, view) else f"the class's {what} is false here"
    except NoValue as error:
        return f"the class's {what} has no value here: {error}"
