from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_driver.model.sizes import GIB
from csi_driver.scheduler.expression import query
from csi_driver.scheduler.expression.evaluate import value
from csi_driver.scheduler.expression.parse import DEEPEST, LONGEST, parse, parse_as
from csi_driver.scheduler.expression.terms import Kind, Mistake, NoValue
from tests.unit.scheduler_views import request, view

VIEW = view("n1", 50 * GIB, zone="a", tags={"tier": "ssd", "rack": "r1"}, volumes=3, thin_size=200 * GIB)
REQUEST = request(10 * GIB, namespace="shop", claim="db-0", fs="ext4", parameters={"goodness": "1"})


def evaluate(text: str) -> Any:
    return value(parse(text).get, REQUEST, VIEW)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("-2 - -3", 1),
        ("1.5e1", 15.0),
        ("'a' + \"b\"", "ab"),
        ("!true || 1 < 2 && 'a' < 'b'", True),
        ("1 == 1.0", True),
        ("'x' != 'y'", True),
        ("true == (1 >= 1)", True),
        ("false ? 1 : true ? 2 : 3", 2),
        ("2 in [1, 2]", True),
        ("'c' in ['a', 'b']", False),
        ("'abc'.contains('bc') && 'abc'.startsWith('a') && !'abc'.endsWith('a')", True),
        ("size('abc') + size([1, 2]) + size(pool.labels)", 7),
        ("min(3, 2, 5) + max(1, 4)", 6),
        ("pool.free / GiB", 50.0),
        ("pool.thin_size >= 20 * request.size", True),
        ("pool.labels.tier == 'ssd' && pool.labels['rack'] == 'r1'", True),
        ("'tier' in pool.labels && has(pool.labels.rack) && !has(pool.labels.none)", True),
        ("node.zone + '/' + node.name + '/' + pool.name", "a/n1/data"),
        ("node.labels['topology.kubernetes.io/zone']", "a"),
        ("request.namespace == 'shop' && request.claim.startsWith('db') && request.fs == 'ext4'", True),
        ("request.layout + request.access", "thinprefer-local"),
        ("class.goodness", "1"),
        ("has(class.filter)", False),
        ("pool.volumes < 3 || pool.exported", True),
        ("has(pool.labels.none) && pool.labels.none == 'x'", False),
    ],
)
def test_what_it_comes_to(text: str, result: object) -> None:
    assert evaluate(text) == result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it ends too early"),
        ("1 +", "it ends too early"),
        ("1 2", r"'2' is not expected \(character 3\)"),
        ("(1", "ends early"),
        ("pool", "'.'|ends early"),
        ("pool.frei", "there is no pool.frei; there are allocated, "),
        ("pool.__class__", "there is no pool.__class__"),
        ("pool.labels.__class__.x", "takes labels, not a text"),
        ("pool.name.__class__", "takes labels, not a text"),
        ("''.format('x')", r"there is no format\( \)"),
        ("__import__('os')", "there is no __import__"),
        ("os", "'os' is not known"),
        ("1 && true", "&& takes true or false, not a number"),
        ("1 == '1'", "== after a number takes a number, not a text"),
        ("pool.labels == 1", "== takes"),
        ("'a' * 1000", r"\* takes a number"),
        ("true < false", "< takes a number or a text"),
        ("1 < 2 < 3", "'<' is not expected"),
        ("1 in 'abc'", "in takes a list"),
        ("1 in ['a']", "takes a text, not a number"),
        ("[1, 'a']", "a list that begins with a number"),
        ("[]", "a list is empty"),
        ("true ? 1 : 'a'", "after a number takes a number"),
        ("has(pool.free)", "takes a label"),
        ("min(1)", "takes two numbers"),
        ("'a\\x41'", "cannot be read"),
        ("'open", "cannot be read"),
        ("1_000", "cannot be read"),
        ("0x10", "cannot be read"),
        ("9" * 19, "cannot be read"),
        ("a; b", "cannot be read|not known"),
        ("1" + " " * LONGEST, "characters long"),
        ("(" * (DEEPEST + 1) + "1" + ")" * (DEEPEST + 1), "nested deeper"),
        ("1" + "+1" * 250, "more than 200 terms"),
        ("!" * 250 + "true", "more than 200 terms"),
    ],
)
def test_a_mistake_is_told_before_any_pool_is_looked_at(text: str, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / (pool.free - pool.free)", "a division by zero"),
        ("1 % 0", "a division by zero"),
        ("pool.labels.none", "there is no 'none'"),
        ("1e99 * 1e99 * 1e99 * 1e99 % 0", "division by zero"),
        ("(9" + "99999" * 3 + "*999999999999999999" * 20 + ") / 2", "too large"),
    ],
)
def test_what_has_no_value_says_so(text: str, words: str) -> None:
    with pytest.raises(NoValue, match=words):
        evaluate(text)


def test_it_must_be_of_the_kind_that_is_needed() -> None:
    assert parse_as("1", Kind.NUMBER, Kind.TRUTH).kind is Kind.NUMBER
    with pytest.raises(Mistake, match="it is a number, and must be true or false"):
        parse_as("1", Kind.TRUTH)


words = st.sampled_from(
    [
        "pool",
        "node",
        "request",
        "class",
        "labels",
        "free",
        "name",
        ".",
        "[",
        "]",
        "(",
        ")",
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        "<=",
        "==",
        "!=",
        "&&",
        "||",
        "!",
        "?",
        ":",
        ",",
        "in",
        "1",
        "2.5",
        "'a'",
        "true",
        "has",
        "size",
        "min",
        "contains",
        "__class__",
        "GiB",
    ]
)


@given(st.lists(words, max_size=30).map(" ".join) | st.text(max_size=60))
def test_whatever_is_written_is_a_value_a_mistake_or_no_value(text: str) -> None:
    try:
        result = evaluate(text)
    except (Mistake, NoValue):
        return
    assert isinstance(result, bool | int | float | str | list | dict)


# -- queries


@pytest.mark.parametrize(
    ("tree", "result"),
    [
        (["=", "$pool.labels.tier", "ssd"], True),
        ([">=", "$free", 50 * GIB], True),
        (["and", ["<", "$volumes", 4], ["in", "$node.zone", "a", "b"]], True),
        (["or", ["=", "$name", "x"], ["not", ["!=", "$name", "data"]]], True),
        (["not", ["<=", "$pool.free", 1.5]], True),
        (["and", True, False], False),
    ],
)
def test_a_query(tree: object, result: object) -> None:
    assert value(query.parse(json.dumps(tree)).get, REQUEST, VIEW) is result


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is no JSON"),
        ("{}", "neither a value nor"),
        ("1", "a query takes true or false"),
        ('["xor", true, true]', "'xor' with 2 operands; there are and"),
        ('["=", "$pool.frei", 1]', "there is no pool.frei"),
        ('["=", "$frei", 1]', "there is no pool.frei"),
        ('["=", "$labels", "x"]', "is all labels"),
        ('["=", "$free.x", 1]', "has no 'x'"),
        ('["=", "$free", "x"]', "takes a number, not a text"),
        ('["=", 1]', "with 1 operands"),
        ('["<", "$free", 1e999]', "no number"),
        ("[" * 300 + "]" * 300, "neither|nested deeper"),
        ('["not",' * 30 + "true" + "]" * 30, "nested deeper"),
        (" " * (LONGEST + 1), "characters long"),
    ],
)
def test_a_query_that_makes_no_sense(text: str, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        query.parse(text)
