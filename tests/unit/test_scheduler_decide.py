from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csi_driver.model.parameters import Access, parse
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB, MINIMUM_VOLUME_SIZE
from csi_driver.model.topology import NODE_KEY, ZONE_KEY, Segment, Topology
from csi_driver.model.volume import Layout
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import Scheduler
from csi_driver.scheduler.filters import PoolFilter
from csi_driver.scheduler.request import PoolView, Request, Rules
from csi_driver.scheduler.weighers import PoolWeigher

EXTENT = 4 * MIB
SCHEDULER = Scheduler()


def view(node: str, free: int = 100 * GIB, *, zone: str = "z", pool: str = "data", **more: Any) -> PoolView:
    """A healthy pool; ``more`` goes to the pool or to the view, whichever knows it."""
    known = {name: more.pop(name) for name in ("problem", "thick_free", "thin_free", "extent") if name in more}
    fields: dict[str, Any] = {"extent": EXTENT, "thin_free": free, "thick_free": free} | known
    return PoolView(
        pool=Pool(node=node, name=pool, vg="vg", **fields),
        labels={NODE_KEY: node, ZONE_KEY: zone},
        **({"exported": True} | more),
    )


def request(size: int = GIB, **more: Any) -> Request:
    return Request(size=size, least=size, **more)


def ruled(parameters: dict[str, str]) -> Rules:
    return rules.read(parse(parameters, {}), ())


def on(*nodes: str, zone: str = "") -> tuple[Segment, ...]:
    zones = {ZONE_KEY: zone} if zone else {}
    return tuple(Segment.of({NODE_KEY: node} | zones) for node in nodes)


def order(asked: Request, *views: PoolView) -> list[str]:
    return [each.view.name for each in SCHEDULER.decide(asked, views).candidates]


def reasons(asked: Request, *views: PoolView) -> dict[str, str]:
    return {each.pool: each.reason for each in SCHEDULER.decide(asked, views).refusals}


# -- filters


@pytest.mark.parametrize(
    ("asked", "offered", "reason"),
    [
        (request(), view("n", silence="connection refused"), "the node does not answer: connection refused"),
        (request(), view("n", problem="metadata is 81 % full"), "metadata is 81 % full"),
        (request(layout=Layout.THICK), view("n", thick_free=None), "it offers no thick volumes"),
        (request(pool="fast"), view("n"), "the class asks for pool fast"),
        (request(source="m/data"), view("n"), "what the volume is made from lies in m/data"),
        (
            request(access=Access.NETWORK),
            view("n", exported=False),
            "the class asks for access by network, and the node has no portal",
        ),
        (
            request(access=Access.LOCAL, topology=Topology(requisite=on("m"))),
            view("n"),
            "its volumes cannot be used from csi.clinker.io/node=m",
        ),
        (request(3 * GIB), view("n", 2 * GIB), "it has 2 GiB left for a thin volume of 3 GiB"),
        (
            request(3 * GIB, layout=Layout.THICK),
            view("n", 4 * GIB, reserved=2 * GIB, running=1),
            "it has 2 GiB left for a thick volume of 3 GiB, 2 GiB more are promised to creates that run",
        ),
        (
            request(17 * MIB, limit=18 * MIB),
            view("n"),
            "no multiple of its extents of 4 MiB lies between 17 MiB and the limit of 18 MiB",
        ),
    ],
)
def test_each_filter_says_why_not_with_figures(asked: Request, offered: PoolView, reason: str) -> None:
    decision = SCHEDULER.decide(asked, [offered])
    assert list(decision.candidates) == []
    assert [str(refusal) for refusal in decision.refusals] == [f"n/data: {reason}"]
    assert reason in decision.why


def test_each_filter_lets_pass_what_fits() -> None:
    asked = request(
        2 * GIB, layout=Layout.THICK, pool="fast", access=Access.NETWORK, topology=Topology(requisite=on("n"))
    )
    assert order(asked, view("n", 2 * GIB, pool="fast", thin_free=None)) == ["n/fast"]


def test_the_network_reaches_a_pod_on_any_node_unless_the_class_says_local() -> None:
    anywhere = Topology(requisite=on("diskless"))
    assert order(request(topology=anywhere), view("n")) == ["n/data"]
    assert order(request(topology=anywhere, access=Access.LOCAL), view("n")) == []
    assert order(request(topology=anywhere), view("n", exported=False)) == []
    assert order(request(topology=Topology(requisite=on("n"))), view("n", exported=False)) == ["n/data"]


def test_a_zone_without_a_node_says_where_the_data_may_lie() -> None:
    zone = Topology(requisite=(Segment.of({ZONE_KEY: "b"}),))
    assert order(request(topology=zone), view("n1", zone="a"), view("n2", zone="b")) == ["n2/data"]


def test_many_demands_are_cut_short() -> None:
    asked = request(access=Access.LOCAL, topology=Topology(requisite=on(*(f"m{n}" for n in range(9)))))
    assert reasons(asked, view("n"))["n/data"].endswith("csi.clinker.io/node=m2 or 6 more")


# -- sizes


@pytest.mark.parametrize(
    ("asked", "size"),
    [
        (Request(size=GIB), GIB),
        (Request(size=GIB + 1), GIB + EXTENT),
        (Request(size=1), MINIMUM_VOLUME_SIZE),
        (Request(size=18 * MIB, limit=18 * MIB), 16 * MIB),
        (Request(size=18 * MIB, least=18 * MIB, limit=20 * MIB), 20 * MIB),
        (Request(size=18 * MIB, least=18 * MIB, limit=19 * MIB), None),
        (Request(size=18 * MIB, least=17 * MIB, limit=19 * MIB), None),
    ],
)
def test_the_size_is_a_multiple_of_extents_within_the_range(asked: Request, size: int | None) -> None:
    assert asked.size_in(EXTENT) == size


# -- weighers


def test_the_first_preferred_place_with_room_wins_over_every_other_reason() -> None:
    asked = request(topology=Topology(requisite=on("a", "b", "c"), preferred=on("c", "b", "a")))
    assert order(asked, view("a"), view("b"), view("c", 2 * GIB, running=3, reserved=GIB)) == [
        "c/data",
        "b/data",
        "a/data",
    ]
    assert order(asked, view("a"), view("b", 2 * GIB), view("c", MIB)) == ["b/data", "a/data"]


@given(st.permutations([f"n{n}" for n in range(12)]))
def test_the_best_of_many_preferred_places_wins(nodes: list[str]) -> None:
    asked = request(topology=Topology(preferred=on(*nodes)))
    views = [view(node, (n + 1) * GIB, running=12 - n) for n, node in enumerate(nodes)]
    assert order(asked, *views)[:3] == [f"{node}/data" for node in nodes[:3]]


def test_near_the_preferred_node_is_better_than_the_next_preferred_one() -> None:
    preferred = (*on("pod", zone="a"), *on("far", zone="b"))
    asked = request(topology=Topology(preferred=preferred))
    assert order(asked, view("far", zone="b"), view("near", 2 * GIB, zone="a")) == ["near/data", "far/data"]


def test_by_network_the_place_of_the_pod_does_not_count() -> None:
    asked = request(topology=Topology(preferred=on("a")), access=Access.NETWORK)
    assert order(asked, view("a", 2 * GIB), view("b", 9 * GIB)) == ["b/data", "a/data"]


def test_the_emptier_pool_and_the_less_busy_one() -> None:
    assert order(request(), view("a", 5 * GIB), view("b", 9 * GIB)) == ["b/data", "a/data"]
    assert order(request(), view("a", 9 * GIB, running=2), view("b", 9 * GIB, running=1)) == ["b/data", "a/data"]
    assert order(request(), view("a", 9 * GIB, reserved=8 * GIB), view("b", 5 * GIB)) == ["b/data", "a/data"]


def test_equal_ones_stand_by_name_in_whatever_order_they_come() -> None:
    views = [view("b"), view("a", pool="y"), view("a", pool="x")]
    assert order(request(), *views) == order(request(), *reversed(views)) == ["a/x", "a/y", "b/data"]


# -- why


def test_why_names_the_best_the_next_and_the_refused() -> None:
    asked = request(2 * GIB, topology=Topology(preferred=on("a")))
    why = SCHEDULER.decide(asked, [view("a"), view("b", 50 * GIB), view("c", GIB)]).why
    assert why.startswith(
        "2 GiB thin: a/data is best (preferred 1.00 capacity 1.00 spread 0.00); then b/data; c/data: "
    )
    assert "\n" not in why


def test_why_stays_short_in_a_large_cluster_and_speaks_of_an_empty_one() -> None:
    full = [view(f"n{n:03}", n % 50 * MIB) for n in range(500)]
    silent = [view(f"s{n:03}", silence="connection refused") for n in range(100)]
    why = SCHEDULER.decide(request(), full + silent).why
    assert why.startswith(
        "no pool can hold 1 GiB thin; n000/data, n050/data, n100/data and 7 more: it has 0 bytes left"
    )
    assert why.endswith(" more refused (capacity 420, health 100)")
    assert len(why) <= 800
    assert SCHEDULER.decide(request(), []).why == "no pool can hold 1 GiB thin; no node reports a pool"


def test_filters_and_weighers_of_others_take_part() -> None:
    class Odd(PoolFilter):
        name = "odd"

        def refusal(self, request: Request, view: PoolView) -> str | None:
            return "it is odd" if view.pool.node in "ace" else None

    class Late(PoolWeigher):
        name = "late"
        multiplier = 1000.0

        def weigh(self, request: Request, view: PoolView) -> float:
            return float(ord(view.pool.node))

    scheduler = replace(SCHEDULER, kind=(*SCHEDULER.kind, Odd()), weighers=(*SCHEDULER.weighers, Late()))
    decision = scheduler.decide(request(), [view(node) for node in "abcdef"])
    assert [each.view.pool.node for each in decision.candidates] == ["f", "d", "b"]
    assert {each.filter for each in decision.refusals} == {"odd"}


# -- capacity

views_strategy = st.lists(
    st.builds(
        view,
        st.sampled_from("abc"),
        st.integers(0, 64).map(lambda extents: extents * EXTENT),
        zone=st.sampled_from("xy"),
        pool=st.sampled_from(["fast", "slow"]),
        exported=st.booleans(),
        silence=st.sampled_from(["", "", "dead"]),
        reserved=st.integers(0, 20 * MIB),
        thick_free=st.sampled_from([None, 17 * MIB]),
    ),
    unique_by=lambda each: each.name,
    max_size=6,
)


@given(
    views_strategy,
    st.sampled_from([None, *on("a"), *on("c", zone="x"), Segment.of({ZONE_KEY: "y"}), *on("nowhere")]),
    st.sampled_from([EXTENT, 3 * MIB, 64 * MIB]),
    st.sampled_from(
        [Rules(), ruled({"filter": "request.size <= 90 * MiB"}), ruled({"filter": "request.size * 2 <= pool.free"})]
    ),
    st.builds(
        request,
        layout=st.sampled_from(list(Layout)),
        access=st.sampled_from(list(Access)),
        pool=st.sampled_from(["", "fast"]),
    ),
)
def test_the_largest_volume_told_is_granted_and_a_step_more_is_not(
    views: list[PoolView], segment: Segment | None, step: int, asks: Rules, most: Request
) -> None:
    scheduler = replace(SCHEDULER, step=step)
    demand = Topology(requisite=(segment,)) if segment else Topology()
    asked = replace(most, rules=asks)
    capacity = scheduler.capacity(asked, views, segment)
    for size, granted in ((capacity.maximum, capacity.maximum > 0), (capacity.maximum + step, False)):
        wanted = max(size, MINIMUM_VOLUME_SIZE)
        create = replace(asked, size=wanted, least=wanted, topology=demand)
        assert bool(scheduler.decide(create, views).candidates) == granted
    assert capacity.maximum == 0 or capacity.maximum >= MINIMUM_VOLUME_SIZE
    assert capacity.available % step == 0
    assert capacity.maximum % step == 0 or capacity.maximum == MINIMUM_VOLUME_SIZE


def test_a_segment_counts_its_own_disks_and_may_be_granted_others() -> None:
    views = [view("a", 10 * GIB), view("b", 30 * GIB), view("c", 90 * GIB, silence="dead")]
    asked = request()
    everywhere = SCHEDULER.capacity(asked, views, None)
    assert (everywhere.available, everywhere.maximum) == (40 * GIB, 30 * GIB)
    own = SCHEDULER.capacity(asked, views, on("a")[0])
    assert (own.available, own.maximum) == (10 * GIB, 30 * GIB)
    diskless = SCHEDULER.capacity(asked, views, on("d")[0])
    assert (diskless.available, diskless.maximum) == (0, 30 * GIB)
    silent = SCHEDULER.capacity(asked, views, on("c")[0])
    assert (silent.available, silent.maximum) == (0, 30 * GIB)
    local = SCHEDULER.capacity(replace(asked, access=Access.LOCAL), views, on("a")[0])
    assert (local.available, local.maximum) == (10 * GIB, 10 * GIB)
