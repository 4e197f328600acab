"""What the scheduler is shown: the fleet's pools with what this process has promised there."""

from __future__ import annotations

from csi_driver.control.context import Context
from csi_driver.errors import DriverError, NoCapacity, OutOfRange, Unavailable
from csi_driver.model.volume import Layout
from csi_driver.scheduler.decision import Decision
from csi_driver.scheduler.filters.size import Rounding
from csi_driver.scheduler.request import PoolView


def views(context: Context, layout: Layout) -> tuple[PoolView, ...]:
    """Every pool of every known node, for a volume of ``layout``."""
    found = []
    for state in context.fleet.nodes():
        for pool in state.pools:
            reserved, running = context.reservations.of(state.name, pool.name, layout, state.volumes)
            found.append(
                PoolView(
                    pool=pool,
                    silence=state.silence,
                    withheld=state.withheld,
                    labels=state.labels,
                    exported=bool(state.portals),
                    reserved=reserved,
                    running=running,
                )
            )
    return tuple(found)


def impossible(context: Context, decision: Decision) -> DriverError:
    """The error that says why no pool will do: by size alone, for want of room, or because nobody answers."""
    silent = context.fleet.silent()
    if silent and not any(state.pools for state in context.fleet.answering()):
        return Unavailable(f"no node with disks answers; {decision.why}")
    judged = {refusal.filter for refusal in decision.refusals} & {each.name for each in context.scheduler.size}
    if judged == {Rounding.name}:
        return OutOfRange(decision.why)
    unheard = [state.name for state in silent if not state.pools]
    return NoCapacity(decision.why + (f"; not heard from: {', '.join(unheard)}" if unheard else ""))
