"""Figures of many pools at once: what a filter or a weigher asks of each is asked in one go."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.model.topology import ZONE_KEY
from csi_driver.model.volume import Layout
from csi_driver.scheduler.neighbours import Scope
from csi_driver.scheduler.request import PoolView


def free(layout: Layout, views: Sequence[PoolView]) -> list[int | None]:
    """What each has left for a layout; None where it cannot be had."""
    if layout is Layout.THIN:
        return [view.pool.thin_free for view in views]
    return [view.pool.free(layout) for view in views]


def units(layout: Layout, views: Sequence[PoolView]) -> list[int]:
    """What sizes are multiples of, for each."""
    if layout is Layout.THIN:
        return [view.pool.extent for view in views]
    return [view.pool.unit(layout) for view in views]


def places(scope: Scope, views: Sequence[PoolView]) -> list[str]:
    """What each shares with its neighbours of that kind; empty when it has none of it."""
    if scope is Scope.NODE:
        return [view.pool.node for view in views]
    if scope is Scope.POOL:
        return [view.name for view in views]
    return [view.labels.get(ZONE_KEY, "") for view in views]
