from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from csi_driver.model.parameters import Choice
from csi_driver.model.sizes import GIB, MIB
from csi_driver.scheduler.decide import Scheduler
from csi_driver.scheduler.ranking import normalise
from csi_driver.scheduler.request import PoolView, Request
from csi_driver.scheduler.weighers import PoolWeigher
from tests.unit.scheduler_views import EXTENT, names, reasons, request, ruled, some_views, view

CLASSES = st.sampled_from(
    [
        {},
        {"choose": "stochastic"},
        {"weights": "chance=5"},
        {"weights": "capacity=-1, volumes=2, allocated=0.5"},
        {"goodness": "100 - pool.volumes * 10", "weights": "goodness=7"},
        {"filter": "pool.labels.tier == 'ssd'", "require.free": ">= 20Mi"},
        {"filter": "1 / pool.volumes > 0"},
    ]
)
REQUESTS = st.builds(
    lambda size, rules, seed: request(size * MIB, rules=ruled(rules), seed=seed),
    st.integers(16, 900),
    CLASSES,
    st.text(max_size=3),
)


@given(some_views, REQUESTS, st.randoms(use_true_random=False))
def test_one_seed_is_one_decision_and_the_order_of_input_never_matters(
    views: list[PoolView], asked: Request, shuffler: random.Random
) -> None:
    first = Scheduler().decide(asked, views)
    shuffled = list(views)
    shuffler.shuffle(shuffled)
    second = Scheduler().decide(asked, shuffled)
    assert list(first.candidates) == list(second.candidates)
    assert list(first.refusals) == list(second.refusals)
    assert first.why == second.why
    assert len(first.why) <= 800


@given(some_views, REQUESTS, st.integers(1, 50))
def test_more_room_never_makes_a_pool_fail(views: list[PoolView], asked: Request, more: int) -> None:
    before = set(names(asked, *views))
    roomier = [
        replace(each, pool=replace(each.pool, thin_free=(each.pool.thin_free or 0) + more * EXTENT)) for each in views
    ]
    assert before <= set(names(asked, *roomier))


@given(some_views, REQUESTS)
def test_every_pool_is_taken_or_refused_with_a_reason(views: list[PoolView], asked: Request) -> None:
    decision = Scheduler().decide(asked, views)
    told = [each.view.name for each in decision.candidates] + [each.pool for each in decision.refusals]
    assert sorted(told) == sorted(each.name for each in views)
    assert all(each.reason and each.filter for each in decision.refusals)


@given(some_views.filter(bool))
def test_an_expression_that_has_no_value_refuses_the_pool_and_says_so(views: list[PoolView]) -> None:
    asked = request(16 * MIB, rules=ruled({"filter": "1 / (pool.volumes - pool.volumes) > 0"}))
    assert names(asked, *views) == []
    healthy = {each.name for each in views if not each.silence and not each.withheld}
    said = {pool for pool, reason in reasons(asked, *views).items() if reason.endswith("here: a division by zero")}
    assert said == healthy


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True) | st.integers(-(10**20), 10**20), max_size=20))
def test_normalised_weights_are_0_to_1_in_the_same_order(column: list[float]) -> None:
    normal = normalise(column)
    assert all(0 <= weight <= 1 for weight in normal)
    keys = [-math.inf if math.isnan(weight) else weight for weight in column]
    for one, other in zip(range(len(column)), range(1, len(column)), strict=False):
        if keys[one] < keys[other]:
            assert normal[one] <= normal[other]
        if keys[one] == keys[other]:
            assert normal[one] == normal[other]
    if len(set(keys)) > 1:
        assert (min(normal), max(normal)) == (0, 1)


def test_normalisation_at_its_edges() -> None:
    assert normalise([]) == []
    assert normalise([7, 7, 7]) == [0, 0, 0]
    assert normalise([1.0, 1, -15_168_514_886_459_605]) == [1, 1, 0]
    assert normalise([-3, -1, -2]) == [0, 1, 0.5]
    assert normalise([math.inf, 1, 2]) == [1, 0, 0.5]
    assert normalise([math.inf, math.inf]) == normalise([-math.inf, math.nan]) == [0, 0]
    assert normalise([-math.inf, 0, math.inf]) == [0, 1 / 3, 1]
    assert normalise([-1.7e308, 0.0, 1.7e308]) == [0, 0.5, 1]
    assert normalise([2.0**56, math.inf]) == [0, 1]


def test_an_infinite_weight_of_a_third_party_does_not_drown_the_others() -> None:
    class Endless(PoolWeigher):
        name = "endless"

        def weigh(self, request: Request, view: PoolView) -> float:
            return math.inf if view.pool.node == "b" else -math.inf if view.pool.node == "c" else 1.0

    scheduler = Scheduler(weighers=(Endless(),))
    assert names(request(), view("a"), view("b"), view("c"), scheduler=scheduler) == ["b/data", "a/data", "c/data"]


# -- weights


def test_multipliers_of_a_class_go_before_those_of_the_settings() -> None:
    views = [view("a", 9 * GIB, volumes=9, allocated=GIB), view("b", 5 * GIB, volumes=1, allocated=4 * GIB)]
    assert names(request(), *views)[0] == "a/data"
    assert names(request(rules=ruled({"weights": "capacity=-1"})), *views)[0] == "b/data"
    assert names(request(rules=ruled({"weights": "volumes=2"})), *views)[0] == "b/data"
    assert names(request(rules=ruled({"weights": "capacity=0, allocated=1"})), *views)[0] == "a/data"
    filling = Scheduler(multipliers={"capacity": -1.0})
    assert names(request(), *views, scheduler=filling)[0] == "b/data"
    assert names(request(rules=ruled({"weights": "capacity=3"})), *views, scheduler=filling)[0] == "a/data"


def test_goodness_is_cut_to_0_where_it_is_out_of_range_or_has_no_value() -> None:
    views = [view(name, tags={"speed": name}) for name in "abcd"]
    asked = request(rules=ruled({"goodness": "pool.name == 'data' ? pool.volumes : 0"}))
    rated = [replace(each, volumes=rate) for each, rate in zip(views, (50, 101, -1, 100), strict=True)]
    assert [each.weights["goodness"] for each in Scheduler().decide(asked, rated).candidates] == [1.0, 0.5, 0.0, 0.0]
    truth = request(rules=ruled({"goodness": "pool.labels.speed == 'c'"}))
    assert names(truth, *views, view("e"))[0] == "c/data"


def test_a_stochastic_choice_follows_the_weights_and_spares_the_worse_half() -> None:
    views = [view("a", 100 * GIB), view("b", 80 * GIB), view("c", 60 * GIB), view("d", 10 * GIB)]
    scheduler = Scheduler(choice=Choice.STOCHASTIC)
    chosen = Counter(names(request(seed=str(n)), *views, scheduler=scheduler)[0] for n in range(400))
    assert chosen["a/data"] > chosen["b/data"] > chosen["c/data"] > 0
    assert "d/data" not in chosen
    assert sum(chosen.values()) == 400
    best = request(seed="1", rules=ruled({"choose": "best"}))
    assert names(best, *views, scheduler=scheduler) == ["a/data", "b/data", "c/data", "d/data"]


def test_chance_scatters_equals() -> None:
    views = [view(name) for name in "abcd"]
    rules = ruled({"weights": "chance=0.1"})
    chosen = {names(request(seed=str(n), rules=rules), *views)[0] for n in range(50)}
    assert len(chosen) == 4
