"""Typed terms and how they are put together; the text form and the JSON form are both made of these."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from csi_driver.errors import DriverError, InvalidRequest
from csi_driver.scheduler.request import Get, PoolView, Request

MOST_TERMS = 200
"""Of one expression: what bounds the time and the stack that it takes."""


class Mistake(InvalidRequest):
    """The expression itself is wrong: known before any pool is looked at."""


class NoValue(DriverError):
    """An expression has no value for this pool: a label that is not there, a division by zero."""


class Kind(StrEnum):
    """What a term is."""

    NUMBER = "a number"
    TEXT = "a text"
    TRUTH = "true or false"
    NUMBERS = "a list of numbers"
    TEXTS = "a list of texts"
    LABELS = "labels"


LISTS: Mapping[Kind, Kind] = {Kind.NUMBER: Kind.NUMBERS, Kind.TEXT: Kind.TEXTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Something that has a value. ``terms`` counts what it consists of."""

    kind: Kind
    get: Get
    terms: int = 1
    fixed: float | str | bool | None = None
    """Its value, when that is the same everywhere: it need not be asked for then."""
    label: tuple[Get, Get] | None = None
    """The labels and the key, when it is one label of them."""


def literal(value: float | str | bool) -> Term:  # noqa: FBT001  # a value
    """A value that stands there."""
    kind = Kind.TRUTH if isinstance(value, bool) else Kind.TEXT if isinstance(value, str) else Kind.NUMBER
    return Term(kind=kind, get=lambda _request, _view: value, fixed=value)


def need(term: Term, *kinds: Kind, where: str) -> Term:
    """``term``. Raises Mistake when it is of another kind."""
    if term.kind not in kinds:
        raise Mistake(f"{where} takes {' or '.join(kinds)}, not {term.kind}")
    return term


def _made(kind: Kind, get: Get, *parts: Term, label: tuple[Get, Get] | None = None) -> Term:
    terms = 1 + sum(part.terms for part in parts)
    if terms > MOST_TERMS:
        raise Mistake(f"it has more than {MOST_TERMS} terms")
    return Term(kind=kind, get=get, terms=terms, label=label)


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {**_ORDER, "==": operator.eq, "!=": operator.ne}
COMPARISONS = tuple(_COMPARE)


def compare(sign: str, left: Term, right: Term) -> Term:
    """``left SIGN right``: both of one kind; numbers and texts have an order."""
    if sign in _ORDER:
        need(left, Kind.NUMBER, Kind.TEXT, where=sign)
    else:
        need(left, Kind.NUMBER, Kind.TEXT, Kind.TRUTH, where=sign)
    need(right, left.kind, where=f"{sign} after {left.kind}")
    test, a, b, fixed = _COMPARE[sign], left.get, right.get, right.fixed
    if fixed is not None:
        return _made(Kind.TRUTH, lambda request, view: test(a(request, view), fixed), left, right)
    return _made(Kind.TRUTH, lambda request, view: test(a(request, view), b(request, view)), left, right)


_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}


def arithmetic(sign: str, left: Term, right: Term) -> Term:
    """``left SIGN right``; ``+`` joins texts too."""
    if sign == "+" and left.kind is Kind.TEXT:
        need(right, Kind.TEXT, where="+ after a text")
    else:
        need(left, Kind.NUMBER, where=sign)
        need(right, Kind.NUMBER, where=sign)
    act, a, b = _ARITHMETIC[sign], left.get, right.get
    return _made(left.kind, lambda request, view: act(a(request, view), b(request, view)), left, right)


def both(left: Term, right: Term) -> Term:
    """``left && right``; what stands right is looked at only if needed."""
    a, b = need(left, Kind.TRUTH, where="&&").get, need(right, Kind.TRUTH, where="&&").get
    return _made(Kind.TRUTH, lambda request, view: a(request, view) and b(request, view), left, right)


def either(left: Term, right: Term) -> Term:
    """``left || right``."""
    a, b = need(left, Kind.TRUTH, where="||").get, need(right, Kind.TRUTH, where="||").get
    return _made(Kind.TRUTH, lambda request, view: a(request, view) or b(request, view), left, right)


def negate(term: Term) -> Term:
    """``!term``."""
    get = need(term, Kind.TRUTH, where="!").get
    return _made(Kind.TRUTH, lambda request, view: not get(request, view), term)


def minus(term: Term) -> Term:
    """``-term``."""
    get = need(term, Kind.NUMBER, where="-").get
    return _made(Kind.NUMBER, lambda request, view: -get(request, view), term)


def choose(condition: Term, yes: Term, no: Term) -> Term:
    """``condition ? yes : no``."""
    test, a, b = need(condition, Kind.TRUTH, where="?").get, yes.get, no.get
    need(no, yes.kind, where=f": after {yes.kind}")
    return _made(
        yes.kind,
        lambda request, view: a(request, view) if test(request, view) else b(request, view),
        condition,
        yes,
        no,
    )


def members(items: tuple[Term, ...]) -> Term:
    """``[item, item]``: all numbers or all texts."""
    if not items:
        raise Mistake("a list is empty")
    kind = need(items[0], *LISTS, where="a list").kind
    gets = tuple(need(item, kind, where=f"a list that begins with {kind}").get for item in items)
    return _made(LISTS[kind], lambda request, view: [get(request, view) for get in gets], *items)


def within(item: Term, group: Term) -> Term:
    """``item in group``: a member of a list, or the key of a label."""
    if group.kind is Kind.LABELS:
        need(item, Kind.TEXT, where="in labels")
    else:
        need(group, *LISTS.values(), where="in")
        need(item, *(one for one, many in LISTS.items() if many is group.kind), where=f"in {group.kind}")
    a, b = item.get, group.get
    return _made(Kind.TRUTH, lambda request, view: a(request, view) in b(request, view), item, group)


def select(labels: Term, key: Term) -> Term:
    """``labels["key"]``. NoValue where there is none."""
    source, name = need(labels, Kind.LABELS, where="[ ]").get, need(key, Kind.TEXT, where="[ ]").get

    fixed = key.fixed

    def get(request: Request, view: PoolView) -> str:
        found: str | None = source(request, view).get(name(request, view) if fixed is None else fixed)
        if found is None:
            raise NoValue(f"there is no {name(request, view)!r}")
        return found

    return _made(Kind.TEXT, get, labels, key, label=(source, name))


def has(term: Term) -> Term:
    """``has(labels.key)``."""
    if term.label is None:
        raise Mistake("has( ) takes a label, as in has(pool.labels.tier)")
    source, name = term.label
    return _made(Kind.TRUTH, lambda request, view: name(request, view) in source(request, view), term)


_TEXT_METHODS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def method(name: str, subject: Term, arguments: tuple[Term, ...]) -> Term:
    """``subject.name(argument)``, of texts."""
    if name not in _TEXT_METHODS:
        raise Mistake(f"there is no {name}( ); there are {', '.join(_TEXT_METHODS)}")
    if len(arguments) != 1:
        raise Mistake(f"{name}( ) takes one argument")
    act = _TEXT_METHODS[name]
    a = need(subject, Kind.TEXT, where=f".{name}( )").get
    b = need(arguments[0], Kind.TEXT, where=f"{name}( )").get
    return _made(Kind.TRUTH, lambda request, view: act(a(request, view), b(request, view)), subject, *arguments)


def call(name: str, arguments: tuple[Term, ...]) -> Term:
    """``size(text or list)``, ``min(a, b, ...)``, ``max(a, b, ...)``."""
    if name == "size":
        if len(arguments) != 1:
            raise Mistake("size( ) takes one argument")
        get = need(arguments[0], Kind.TEXT, Kind.LABELS, *LISTS.values(), where="size( )").get
        return _made(Kind.NUMBER, lambda request, view: len(get(request, view)), *arguments)
    if name not in ("min", "max"):
        raise Mistake(f"there is no {name}( ); there are has, max, min and size")
    if len(arguments) < 2:
        raise Mistake(f"{name}( ) takes two numbers or more")
    act: Callable[..., Any] = min if name == "min" else max
    gets = tuple(need(each, Kind.NUMBER, where=f"{name}( )").get for each in arguments)
    return _made(Kind.NUMBER, lambda request, view: act(get(request, view) for get in gets), *arguments)
