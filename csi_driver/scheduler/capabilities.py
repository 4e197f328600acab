"""Cinder's operators of capabilities, as classes write them: a text, or an operator and a value.

``=`` is "at least", as in Cinder (extra_specs_ops); ``==`` is equal. Numbers may end in Ki, Mi, Gi or Ti.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from csi_driver.errors import InvalidRequest
from csi_driver.model.sizes import GIB, KIB, MIB, TIB
from csi_driver.scheduler.expression.query import attribute
from csi_driver.scheduler.request import Requirement

_NUMBER = re.compile(r"(-?\d{1,18}(?:\.\d{1,18})?)\s*([KMGT]i)?")
_UNITS = {"Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": TIB}
_TRUE, _FALSE = frozenset({"true", "yes", "on", "1"}), frozenset({"false", "no", "off", "0"})

_OF_NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_OF_TEXTS: Mapping[str, Callable[[str, str], bool]] = {
    "s==": operator.eq,
    "s!=": operator.ne,
    "s>=": operator.ge,
    "s<=": operator.le,
    "s>": operator.gt,
    "s<": operator.lt,
    "<in>": operator.contains,
}


def requirement(path: str, wish: str) -> Requirement:
    """``require.path: wish``. Raises InvalidRequest."""
    return Requirement(text=f"{path} {wish}", value=attribute(path).get, met=_test(wish.strip()))


def _test(wish: str) -> Callable[[Any], bool]:
    if not wish:
        raise InvalidRequest("nothing is required: leave the key out")
    sign, _, rest = wish.partition(" ")
    rest = rest.strip()
    if sign == "<or>":
        return _one_of(wish)
    if not rest and (sign in _OF_NUMBERS or sign in _OF_TEXTS or sign == "<is>"):
        raise InvalidRequest(f"a value is missing after {sign}")
    if sign in _OF_NUMBERS:
        compare, limit = _OF_NUMBERS[sign], _number(rest)
        return lambda value: (number := _as_number(value)) is not None and compare(number, limit)
    if sign in _OF_TEXTS:
        test = _OF_TEXTS[sign]
        return lambda value: test(_as_text(value), rest)
    if sign == "<is>":
        wanted = _truth(rest)
        if wanted is None:
            raise InvalidRequest(f"<is> takes true or false, not {rest!r}")
        return lambda value: _truth(_as_text(value)) is wanted
    if re.fullmatch(r"<\w+>|s?[<>=!]+", sign):
        raise InvalidRequest(
            f"there is no operator {sign}; there are {', '.join((*_OF_NUMBERS, *_OF_TEXTS))}, <is>, <or>"
        )
    return lambda value: _as_text(value) == wish


def _one_of(wish: str) -> Callable[[Any], bool]:
    choices = frozenset(part.strip() for part in wish.split("<or>") if part.strip())
    if not choices:
        raise InvalidRequest("a value is missing after <or>")
    return lambda value: _as_text(value) in choices


def _number(text: str) -> float:
    found = _as_number(text)
    if found is None:
        raise InvalidRequest(f"{text!r} is no number")
    return found


def _as_number(value: object) -> float | None:
    if isinstance(value, int | float):
        return value
    match = _NUMBER.fullmatch(str(value))
    return float(match[1]) * _UNITS.get(match[2], 1) if match else None


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _truth(text: str) -> bool | None:
    return True if text.lower() in _TRUE else False if text.lower() in _FALSE else None
