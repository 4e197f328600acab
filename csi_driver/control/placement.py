"""What the scheduler is shown: the fleet's pools with what this process has promised there; and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from csi_driver.control.context import Context
from csi_driver.control.order import NOWHERE, Order
from csi_driver.errors import DriverError, NoCapacity, OutOfRange, Unavailable
from csi_driver.fleet.state import NodeState
from csi_driver.model.pool import Pool
from csi_driver.model.volume import Layout
from csi_driver.scheduler.decision import Decision
from csi_driver.scheduler.filters.size import Rounding
from csi_driver.scheduler.neighbours import Hints
from csi_driver.scheduler.request import PoolView


def views(context: Context, layout: Layout) -> tuple[PoolView, ...]:
    """Every pool of every known node, for a volume of ``layout``."""
    return tuple(_view(context, state, pool, layout) for state in context.fleet.nodes() for pool in state.pools)


def _view(context: Context, state: NodeState, pool: Pool, layout: Layout) -> PoolView:
    names, layouts = [pool.name], [layout]
    if layout is not Layout.THIN:
        # All that is not thin comes from the same extents, for every pool of one volume group.
        names = [each.name for each in state.pools if each.vg == pool.vg]
        layouts = [each for each in Layout if each is not Layout.THIN]
    promises = [context.reservations.of(state.name, name, each, state.volumes) for name in names for each in layouts]
    volumes, allocated = context.tallies.of(state).get(pool.name, (0, 0))
    return PoolView(
        pool=pool,
        silence=state.silence,
        withheld=state.withheld,
        labels=state.labels,
        exported=bool(state.portals),
        reserved=sum(reserved for reserved, _ in promises),
        running=sum(running for _, running in promises),
        volumes=volumes,
        allocated=allocated,
    )


def decide(context: Context, order: Order, hints: Hints, attempted: Mapping[str, str] = NOWHERE) -> Decision:
    """Where the volume should go now. What is promised to others makes a pool worse, and is not in the way when
    nothing else is left: such a create may fail yet, and the agent alone judges room.
    """
    request, pools = order.request(hints, attempted), views(context, order.parameters.layout)
    decision = context.scheduler.decide(request, pools)
    if not decision.candidates and any(view.reserved for view in pools):
        free = [replace(view, reserved=0) for view in pools]
        bold = context.scheduler.decide(request, free)
        if bold.candidates:
            return bold
    return decision


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
