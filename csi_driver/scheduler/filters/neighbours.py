"""Only pools together with, or apart from, what the hints name."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler import columns
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.neighbours import Neighbour
from csi_driver.scheduler.request import PoolView, Request


class SameBackend:
    """``affinity``: a place shared with each of those named."""

    name = "same"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return _apart(request.hints.same, views) if request.hints.same else None


class DifferentBackend:
    """``antiAffinity``: a place shared with none of those named."""

    name = "different"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return _together(request.hints.different, views) if request.hints.different else None


def _apart(named: Sequence[Neighbour], views: Sequence[PoolView]) -> Reasons:
    reasons: list[str | None] = [None] * len(views)
    for each in named:
        apart = [place not in each.places for place in columns.places(each.scope, views)]
        if any(apart):
            words = _words(each)
            reasons = [reason or (words if alone else None) for reason, alone in zip(reasons, apart, strict=True)]
    return reasons


def _words(named: Neighbour) -> str:
    if not named.places:
        return f"it must be with {named.what}, which has no place yet"
    return f"it must share its {named.scope} with {named.what}, on {', '.join(sorted(named.places)[:3])}"


def _together(named: Sequence[Neighbour], views: Sequence[PoolView]) -> Reasons:
    reasons: list[str | None] = [None] * len(views)
    for each in named:
        words, taken = f"{each.what} is on this {each.scope} already", each.places - {""}
        here = columns.places(each.scope, views)
        reasons = [reason or (words if place in taken else None) for reason, place in zip(reasons, here, strict=True)]
    return reasons
