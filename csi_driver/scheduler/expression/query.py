"""Cinder's JSON queries as terms: ``["and", [">=", "$pool.free", 1024], ["=", "$pool.labels.tier", "ssd"]]``."""

from __future__ import annotations

import json
import math
from functools import reduce

from csi_driver.scheduler.expression import terms
from csi_driver.scheduler.expression.attributes import GROUPS, term
from csi_driver.scheduler.expression.parse import DEEPEST, LONGEST
from csi_driver.scheduler.expression.terms import Kind, Mistake, Term

_COMPARISONS = {"=": "==", "!=": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}


def parse(text: str) -> Term:
    """The truth that ``text`` asks for. Raises Mistake."""
    if len(text) > LONGEST:
        raise Mistake(f"it is {len(text)} characters long, at most {LONGEST} are allowed")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"it is no JSON: {error}") from error
    return terms.need(_read(tree, 0), Kind.TRUTH, where="a query")


def _read(tree: object, depth: int) -> Term:
    if depth > DEEPEST:
        raise Mistake(f"it is nested deeper than {DEEPEST}")
    if isinstance(tree, str):
        return attribute(tree[1:]) if tree.startswith("$") else terms.literal(tree)
    if isinstance(tree, bool | int | float):
        if not math.isfinite(tree):
            raise Mistake(f"{tree} is no number that a pool could have")
        return terms.literal(tree)
    if not isinstance(tree, list) or not tree or not isinstance(tree[0], str):
        raise Mistake(f"{json.dumps(tree)[:60]} is neither a value nor [OPERATOR, ...]")
    sign, parts = tree[0], [_read(each, depth + 1) for each in tree[1:]]
    if sign in ("and", "or") and parts:
        return reduce(terms.both if sign == "and" else terms.either, parts)
    if sign == "not" and len(parts) == 1:
        return terms.negate(parts[0])
    if sign == "in" and len(parts) >= 2:
        return terms.within(parts[0], terms.members(tuple(parts[1:])))
    if sign in _COMPARISONS and len(parts) == 2:
        return terms.compare(_COMPARISONS[sign], parts[0], parts[1])
    raise Mistake(f"{sign!r} with {len(parts)} operands; there are and, or, not, in, {', '.join(_COMPARISONS)}")


def attribute(path: str) -> Term:
    """``pool.free``, ``free`` (of the pool), ``pool.labels.KEY``, ``node.labels.KEY``. Raises Mistake."""
    group, _, rest = path.partition(".")
    if group not in GROUPS:
        group, rest = "pool", path
    name, _, key = rest.partition(".")
    if name not in GROUPS[group]:
        raise Mistake(f"there is no {group}.{name}; there are {', '.join(sorted(GROUPS[group]))}")
    found = term(GROUPS[group][name])
    if found.kind is Kind.LABELS:
        if not key:
            raise Mistake(f"{path} is all labels: name one, as in {path}.tier")
        return terms.select(found, terms.literal(key))
    if key:
        raise Mistake(f"{group}.{name} is {found.kind} and has no {key!r}")
    return found
