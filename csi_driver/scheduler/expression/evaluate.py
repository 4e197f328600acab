"""A value at a pool or at many, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from csi_driver.errors import DriverError
from csi_driver.scheduler.expression.terms import NoValue
from csi_driver.scheduler.request import Get, PoolView, Request

FAILURES = (DriverError, KeyError, ArithmeticError)
"""What a term may raise."""


def column(get: Get, request: Request, views: Sequence[PoolView]) -> list[Any] | None:
    """The value at each pool; None when it has none at one of them: then each must be asked by itself."""
    try:
        return [get(request, view) for view in views]
    except FAILURES:
        return None


def value(get: Get, request: Request, view: PoolView) -> Any:
    """Raises NoValue alone."""
    try:
        return get(request, view)
    except ZeroDivisionError as error:
        raise NoValue("a division by zero") from error
    except FAILURES as error:
        raise NoValue(str(error)) from error
