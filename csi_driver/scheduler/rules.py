"""Reads what a class says about pools. Each mistake names its key, and is one before any pool is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import TypeVar

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import CHOICE, FILTER, GOODNESS, QUERY, REQUIRE, WEIGHTS, Choice, Parameters
from csi_driver.scheduler.capabilities import requirement
from csi_driver.scheduler.expression import query
from csi_driver.scheduler.expression.parse import parse_as
from csi_driver.scheduler.expression.terms import Kind
from csi_driver.scheduler.request import Get, Rules

T = TypeVar("T")
NO_RULES = Rules()
LARGEST_MULTIPLIER = 1e6


def read(parameters: Parameters, weighers: Collection[str]) -> Rules:
    """``weighers`` are the names that ``weights`` may have. Raises InvalidRequest naming the key."""
    if not parameters.given:
        return NO_RULES
    return Rules(
        requirements=tuple(
            _read(f"{REQUIRE.key}{path}", lambda path=path, wish=wish: requirement(path, wish))  # type: ignore[misc]
            for path, wish in parameters.every(REQUIRE).items()
        ),
        expression=_expression(FILTER.key, parameters.of(FILTER), lambda text: parse_as(text, Kind.TRUTH).get),
        query=_expression(QUERY.key, parameters.of(QUERY), lambda text: query.parse(text).get),
        goodness=_expression(
            GOODNESS.key, parameters.of(GOODNESS), lambda text: parse_as(text, Kind.NUMBER, Kind.TRUTH).get
        ),
        weights=_read(WEIGHTS.key, lambda: multipliers(parameters.of(WEIGHTS), weighers)),
        choice=Choice(parameters.of(CHOICE)),
    )


def multipliers(text: str, weighers: Collection[str]) -> dict[str, float]:
    """``NAME=NUMBER, ...``. Raises InvalidRequest."""
    found: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name in found:
            raise InvalidRequest(f"{name} stands there twice")
        found[name] = multiplier(name, number, weighers)
    return found


def multiplier(name: str, number: str | float, weighers: Collection[str]) -> float:
    """One of them, checked. Raises InvalidRequest."""
    if name not in weighers:
        raise InvalidRequest(f"there is no weigher {name!r}; there are {', '.join(sorted(weighers))}")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not abs(value) <= LARGEST_MULTIPLIER:
        raise InvalidRequest(f"{name}: {number!r} is no number from {-LARGEST_MULTIPLIER:g} to {LARGEST_MULTIPLIER:g}")
    return value


def _expression(key: str, text: str, make: Callable[[str], Get]) -> Get | None:
    return _read(key, lambda: make(text)) if text.strip() else None


def _read(key: str, make: Callable[[], T]) -> T:
    try:
        return make()
    except InvalidRequest as error:
        raise InvalidRequest(f"parameter {key}: {error}") from error
