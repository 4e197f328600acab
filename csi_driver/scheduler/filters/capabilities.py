"""Only pools with the attributes and labels that the class requires."""

from __future__ import annotations

from collections.abc import Sequence

from csi_driver.scheduler.expression.evaluate import column, value
from csi_driver.scheduler.expression.terms import NoValue
from csi_driver.scheduler.filters import Reasons
from csi_driver.scheduler.request import PoolView, Request, Requirement


class Capabilities:
    """``require.ATTRIBUTE`` of the class, with Cinder's operators (``scheduler.capabilities``)."""

    name = "capabilities"

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        wishes = request.rules.requirements
        if not wishes:
            return None
        values = column(wishes[0].value, request, views) if len(wishes) == 1 else None
        if values is not None:
            met, text = wishes[0].met, f"the class requires {wishes[0].text}"
            return [None if met(found) else f"{text}: it is {found}" for found in values]
        return [_unmet(wishes, request, view) for view in views]


def _unmet(wishes: Sequence[Requirement], request: Request, view: PoolView) -> str | None:
    for wish in wishes:
        try:
            found = value(wish.value, request, view)
        except NoValue as error:
            return f"the class requires {wish.text}: {error}"
        if not wish.met(found):
            return f"the class requires {wish.text}: it is {found}"
    return None
