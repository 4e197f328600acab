"""The scheduler as settings have it, with what other packages add to it by entry points."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import CHOICE, Choice
from csi_driver.model.sizes import MIB
from csi_driver.scheduler import rules
from csi_driver.scheduler.decide import KIND, SIZE, WEIGHERS, Scheduler
from csi_driver.settings import SchedulerSettings

FILTERS, WEIGHER_GROUP = "clinker.scheduler.filters", "clinker.scheduler.weighers"
"""Groups of entry points; each names a class that is made without arguments."""


def scheduler(settings: SchedulerSettings) -> Scheduler:
    """Raises InvalidRequest, naming the key, for settings that cannot be and for additions that are not there."""
    where = "controller.scheduler"
    filters = _added(FILTERS, settings.filters, "reasons", f"{where}.filters", taken=(*KIND, *SIZE))
    weighers = (*WEIGHERS, *_added(WEIGHER_GROUP, settings.weighers, "column", f"{where}.weighers", taken=WEIGHERS))
    names = frozenset(each.name for each in weighers)
    if settings.choose not in CHOICE.allowed:
        raise InvalidRequest(f"{where}.choose: {settings.choose!r} is not one of best, stochastic")
    if not settings.capacity_step >= MIB:
        raise InvalidRequest(f"{where}.capacity_step: {settings.capacity_step} is less than {MIB} bytes")
    try:
        weights = {name: rules.multiplier(name, number, names) for name, number in settings.weights.items()}
    except InvalidRequest as error:
        raise InvalidRequest(f"{where}.weights: {error}") from error
    return Scheduler(
        # What others add may judge by size.
        size=(*SIZE, *filters),
        weighers=weighers,
        multipliers=weights,
        choice=Choice(settings.choose or Choice.BEST),
        step=settings.capacity_step,
    )


def _added(group: str, names: Iterable[str], verb: str, where: str, *, taken: Iterable[Any]) -> tuple[Any, ...]:
    installed = {each.name: each for each in entry_points(group=group)}
    used = {each.name for each in taken}
    found = []
    for name in names:
        if name not in installed:
            known = ", ".join(sorted(installed)) or "none"
            raise InvalidRequest(f"{where}: no package offers {name!r} as entry point of {group}; there are {known}")
        try:
            made = installed[name].load()()
        except Exception as error:  # whatever another package does wrong
            raise InvalidRequest(f"{where}: {name} cannot be loaded: {error!r}") from error
        own = getattr(made, "name", "")
        if not callable(getattr(made, verb, None)) or not own or own in used:
            raise InvalidRequest(f"{where}: {name} has no {verb}( ), or its name {own!r} is empty or taken")
        used.add(own)
        found.append(made)
    return tuple(found)
