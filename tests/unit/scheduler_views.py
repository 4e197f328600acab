"""Pools and requests for tests of the scheduler."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from csi_driver.model.parameters import parse
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.topology import NODE_KEY, ZONE_KEY
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import WEIGHER_NAMES, Scheduler
from csi_driver.scheduler.request import PoolView, Request, Rules

EXTENT = 4 * MIB
OF_POOL = ("problem", "thick_free", "thin_free", "extent", "thin_size", "thin_used", "thin_allocated")


def view(node: str, free: int = 100 * GIB, *, zone: str = "z", pool: str = "data", **more: Any) -> PoolView:
    """A healthy pool; ``more`` goes to the pool or to the view, whichever knows it; ``tags`` are the pool's labels."""
    known = {name: more.pop(name) for name in OF_POOL if name in more}
    fields: dict[str, Any] = {"extent": EXTENT, "thin_free": free, "thick_free": free} | known
    return PoolView(
        pool=Pool(node=node, name=pool, vg="vg", labels=more.pop("tags", {}), **fields),
        labels={NODE_KEY: node, ZONE_KEY: zone},
        **({"exported": True} | more),
    )


def request(size: int = GIB, **more: Any) -> Request:
    return Request(size=size, least=size, **more)


def ruled(parameters: dict[str, str]) -> Rules:
    return rules.read(parse(parameters, {}), WEIGHER_NAMES)


def names(asked: Request, *views: PoolView, scheduler: Scheduler | None = None) -> list[str]:
    return [each.view.name for each in (scheduler or Scheduler()).decide(asked, views).candidates]


def reasons(asked: Request, *views: PoolView) -> dict[str, str]:
    return {each.pool: each.reason for each in Scheduler().decide(asked, views).refusals}


some_views = st.lists(
    st.builds(
        view,
        st.sampled_from([f"n{n}" for n in range(8)]),
        st.integers(0, 300).map(lambda extents: extents * EXTENT),
        zone=st.sampled_from("xyz"),
        pool=st.sampled_from(["fast", "slow"]),
        exported=st.booleans(),
        silence=st.sampled_from(["", "", "", "dead"]),
        withheld=st.sampled_from(["", "", "", "the node is cordoned"]),
        reserved=st.integers(0, 5).map(lambda extents: extents * EXTENT),
        running=st.integers(0, 3),
        volumes=st.integers(0, 9),
        allocated=st.integers(0, 99).map(lambda extents: extents * EXTENT),
        tags=st.sampled_from([{}, {"tier": "ssd"}, {"tier": "hdd"}]),
    ),
    unique_by=lambda each: each.name,
    max_size=8,
)
