"""Only pools together with, or apart from, what the hints name."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.neighbours import Hints
from csi_driver.scheduler.request import PoolView, Request


class SameBackend:
    """``affinity``: a place shared with each of those named."""

    name = "same"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return [_apart(request.hints, view) for view in views] if request.hints.same else None


class DifferentBackend:
    """``antiAffinity``: a place shared with none of those named."""

    name = "different"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return [_together(request.hints, view) for view in views] if request.hints.different else None


def _apart(hints: Hints, view: PoolView) -> str | None:
    for each in hints.same:
        if not each.places:
            return f"it must be with {each.what}, which has no place yet"
        if view.place(each.scope) not in each.places:
            return f"it must share its {each.scope} with {each.what}, on {', '.join(sorted(each.places)[:3])}"
    return None


def _together(hints: Hints, view: PoolView) -> str | None:
    for each in hints.different:
        place = view.place(each.scope)
        if place and place in each.places:
            return f"{each.what} is on this {each.scope} already"
    return None
