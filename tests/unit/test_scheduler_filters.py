from __future__ import annotations

from dataclasses import replace

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Layout
from csi_driver.scheduler.neighbours import Hints, Neighbour, Scope
from csi_driver.scheduler.request import Request
from tests.unit.scheduler_views import names, reasons, request, ruled, view

SSD, HDD = view("a", tags={"tier": "ssd", "iops": "900"}), view("b", tags={"tier": "hdd", "encrypted": "True"})
BARE = view("c", 5 * GIB)


def wish(path: str, text: str) -> Request:
    return request(rules=ruled({f"require.{path}": text}))


# -- capabilities


@pytest.mark.parametrize(
    ("path", "text", "passed"),
    [
        ("labels.tier", "ssd", ["a/data"]),
        ("labels.tier", "s== hdd", ["b/data"]),
        ("labels.tier", "s!= hdd", ["a/data"]),
        ("labels.tier", "s>= i", ["a/data"]),
        ("labels.tier", "s<= i", ["b/data"]),
        ("labels.tier", "s> hdd", ["a/data"]),
        ("labels.tier", "s< ssd", ["b/data"]),
        ("labels.tier", "<in> sd", ["a/data"]),
        ("labels.tier", "<or> nvme <or> hdd", ["b/data"]),
        ("labels.encrypted", "<is> yes", ["b/data"]),
        ("labels.encrypted", "<is> false", []),
        ("labels.iops", "= 800", ["a/data"]),
        ("labels.iops", "= 901", []),
        ("labels.iops", "== 900", ["a/data"]),
        ("labels.iops", "!= 900", []),
        ("labels.iops", ">= 900.0", ["a/data"]),
        ("labels.iops", "<= 899", []),
        ("labels.tier", ">= 1", []),
        ("free", "> 5Gi", ["a/data", "b/data"]),
        ("free", "< 6Gi", ["c/data"]),
        ("exported", "<is> true", ["a/data", "b/data", "c/data"]),
        ("exported", "true", ["a/data", "b/data", "c/data"]),
        ("node.name", "<or> c", ["c/data"]),
        ("node.zone", "z", ["a/data", "b/data", "c/data"]),
    ],
)
def test_capabilities_with_cinders_operators(path: str, text: str, passed: list[str]) -> None:
    assert names(wish(path, text), SSD, HDD, BARE) == passed


def test_a_capability_that_is_missing_is_told_with_what_is_there() -> None:
    assert reasons(wish("labels.tier", "ssd"), SSD, HDD, BARE) == {
        "b/data": "the class requires labels.tier ssd: it is hdd",
        "c/data": "the class requires labels.tier ssd: there is no 'tier'",
    }


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("require.labels.tier", "", "nothing is required"),
        ("require.labels.tier", "s==", "a value is missing after s=="),
        ("require.labels.tier", ">= ", "a value is missing"),
        ("require.labels.tier", ">= fast", "'fast' is no number"),
        ("require.labels.tier", "<is> maybe", "takes true or false"),
        ("require.labels.tier", "<or>", "a value is missing after <or>"),
        ("require.labels.tier", "<not> ssd", "there is no operator <not>"),
        ("require.labels.tier", "=== ssd", "there is no operator ==="),
        ("require.labels", "ssd", "is all labels"),
        ("require.tier", "ssd", "there is no pool.tier"),
        ("require.", "ssd", "there is no pool."),
        ("filter", "pool.free", "must be true or false"),
        ("filter", "pool.frei > 1", "there is no pool.frei"),
        ("goodness", "'high'", "must be a number or true or false"),
        ("query", "[]", "neither a value"),
        ("weights", "speed=1", "there is no weigher 'speed'; there are allocated, capacity, chance"),
        ("weights", "chance", "chance: '' is no number"),
        ("weights", "chance=nan", "is no number"),
        ("weights", "chance=1e7", "is no number from"),
        ("weights", "chance=1,chance=2", "stands there twice"),
        ("choose", "any", "is not one of"),
    ],
)
def test_a_mistake_in_a_class_names_its_key(key: str, text: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"parameter {key}: .*{words}"):
        ruled({key: text})


# -- expression and query


def test_the_expression_refuses_and_says_why_it_has_no_value() -> None:
    asked = request(rules=ruled({"filter": "pool.labels.tier == 'ssd'"}))
    assert names(asked, SSD, HDD, BARE) == ["a/data"]
    assert reasons(asked, SSD, HDD, BARE) == {
        "b/data": "the class's filter is false here",
        "c/data": "the class's filter has no value here: there is no 'tier'",
    }


def test_the_query_of_administrators() -> None:
    asked = request(rules=ruled({"query": '["and", ["<", "$free", 6000000000], ["=", "$node.zone", "z"]]'}))
    assert names(asked, SSD, HDD, BARE) == ["c/data"]


# -- neighbours


def placed(what: str, *places: str, scope: Scope = Scope.NODE) -> Neighbour:
    return Neighbour(what=what, places=frozenset(places), scope=scope)


def test_affinity_to_each_and_antiaffinity_to_none() -> None:
    views = [view("a", zone="x"), view("b", zone="x"), view("c", zone="y"), view("c", zone="y", pool="more")]
    same = request(hints=Hints(same=(placed("claim shop/db-0", "a", "c"), placed("claim shop/db-1", "c"))))
    assert names(same, *views) == ["c/data", "c/more"]
    assert reasons(same, *views)["a/data"] == "it must share its node with claim shop/db-1, on c"
    apart = request(
        hints=Hints(different=(placed("claim shop/db-0", "a"), placed("volume v", "c/data", scope=Scope.POOL)))
    )
    assert names(apart, *views) == ["b/data", "c/more"]
    assert reasons(apart, *views) == {
        "a/data": "claim shop/db-0 is on this node already",
        "c/data": "volume v is on this pool already",
    }
    zones = request(hints=Hints(different=(placed("claim shop/db-0", "x", scope=Scope.ZONE),)))
    assert names(zones, *views) == ["c/data", "c/more"]


def test_affinity_to_what_has_no_place_yet_waits_and_antiaffinity_does_not() -> None:
    assert reasons(request(hints=Hints(same=(placed("claim shop/new"),))), view("a")) == {
        "a/data": "it must be with claim shop/new, which has no place yet"
    }
    assert names(request(hints=Hints(different=(placed("claim shop/new"),))), view("a")) == ["a/data"]


def test_near_is_a_wish_that_outweighs_room_but_not_the_pods_place() -> None:
    views = [view("a", 9 * GIB), view("b", 2 * GIB), view("c", 50 * GIB)]
    near = request(hints=Hints(near=(placed("pod shop/web", "b"),)))
    assert names(near, *views)[0] == "b/data"
    assert names(replace(near, size=3 * GIB, least=3 * GIB), *views)[0] == "c/data"
    pods = replace(near, topology=Topology(preferred=(Segment.node("a"),)))
    assert names(pods, *views)[0] == "a/data"


# -- the rest


def test_where_it_failed_it_is_not_tried_again_and_closed_nodes_take_nothing() -> None:
    asked = request(attempted={"a/data": "the pool is full meanwhile"})
    assert names(asked, view("a"), view("b")) == ["b/data"]
    assert reasons(asked, view("a"), view("b")) == {"a/data": "the pool is full meanwhile"}
    assert reasons(request(), view("a", withheld="the node is cordoned")) == {"a/data": "the node is cordoned"}


def test_the_figures_of_a_thin_pool_are_told() -> None:
    tight = view("a", 256 * MIB, thin_size=10 * GIB, thin_allocated=9 * GIB + 768 * MIB)
    assert reasons(request(), tight)["a/data"] == (
        "it has 256 MiB left for a thin volume of 1 GiB (9.75 GiB of volumes in a thin pool of 10 GiB)"
    )
    assert "thin pool" not in reasons(request(layout=Layout.THICK), tight)["a/data"]
