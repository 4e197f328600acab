"""A value at a pool, or why there is none."""

from __future__ import annotations

from typing import Any

from csi_driver.errors import DriverError
from csi_driver.scheduler.expression.terms import NoValue
from csi_driver.scheduler.request import Get, PoolView, Request

FAILURES = (DriverError, KeyError, ArithmeticError)
"""What a term may raise."""


def value(get: Get, request: Request, view: PoolView) -> Any:
    """Raises NoValue alone."""
    try:
        return get(request, view)
    except ZeroDivisionError as error:
        raise NoValue("a division by zero") from error
    except FAILURES as error:
        raise NoValue(str(error)) from error
