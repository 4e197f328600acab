"""Making a claim where the scheduler says, and where it does not work, at the next best place."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping

from csi_driver.control.context import Context
from csi_driver.control.hints import understand
from csi_driver.control.order import Order, Origin
from csi_driver.control.placement import decide, impossible
from csi_driver.control.sources import with_origin
from csi_driver.errors import DriverError, InternalError, NoCapacity, NotFound, Unavailable
from csi_driver.model.volume import Volume, VolumeSpec

log = logging.getLogger(__name__)


async def place(context: Context, order: Order) -> Volume:
    """A claim, made. Raises NoCapacity or OutOfRange with a reason for each pool, Unavailable when a claim may have
    been made somewhere that does not answer any more, and StillWorking or Busy while one is being made.
    """
    open_claim = await _join(context, order)
    if open_claim is not None:
        return open_claim
    order = await with_origin(context, order)
    understood = await understand(context, order)
    failed: dict[str, DriverError] = {}
    while True:
        attempted = {pool: _words(error) for pool, error in failed.items()}
        decision = decide(context, order, understood.find(context), attempted)
        if not failed:
            context.refused(each.filter for each in decision.refusals)
            log.info("placing", extra={"volume_name": order.name, "why": decision.why})
        if not decision.candidates:
            raise _verdict(failed, decision.why) if failed else impossible(context, decision)
        candidate = decision.candidates[0]
        pool = candidate.view.pool
        spec = order.spec(context.draw_copy(), size=candidate.size, pool=pool.name)
        try:
            return await _claim(context, pool.node, spec)
        except (NoCapacity, NotFound, Unavailable, InternalError) as error:
            if order.origin is not None and isinstance(error, NotFound):
                raise  # its source went away meanwhile, and there is no other place for it
            log.warning("claim failed", extra={"volume": str(spec.id), "node": pool.node, "error": str(error)})
            failed[candidate.view.name] = error


async def _join(context: Context, order: Order) -> Volume | None:
    """The claim that an earlier request for this name ordered and did not see finished, if it is still good."""
    attempt = context.attempts.of(order.key)
    if attempt is None:
        return None
    node, spec = attempt
    if order.asked_source:
        # The source may be gone by now, which must not stop what was begun with it.
        order = dataclasses.replace(order, origin=Origin(node=node, pool=spec.pool, size=spec.size, fs=spec.fs))
    if spec != order.spec(spec.id.copy, size=spec.size, pool=spec.pool) or not order.limits.admits(spec.size):
        return None
    try:
        return await _claim(context, node, spec)
    except (NoCapacity, NotFound, Unavailable, InternalError) as error:
        log.info("open claim given up", extra={"volume": str(spec.id), "node": node, "error": str(error)})
        context.attempts.end(order.key)
        return None


async def _claim(context: Context, node: str, spec: VolumeSpec) -> Volume:
    agent = context.fleet.agent(node)
    # Until the outcome is known this stays open, also when the caller gives up: then its next request joins.
    context.attempts.begin(node, spec)
    with context.reservations.reserve(node, spec):
        try:
            volume = await agent.claim(spec)
        except InternalError:
            context.attempts.end(spec.id.key)
            await _undo(context, node, spec)
            raise
        except (NoCapacity, NotFound, Unavailable):
            context.attempts.end(spec.id.key)
            raise
    context.attempts.end(spec.id.key)
    if volume.source != spec.source:
        # An agent from before there were sources made it empty.
        await _undo(context, node, spec)
        raise Unavailable(f"the agent of node {node} is too old to make a volume from {spec.source}")
    return volume


async def _undo(context: Context, node: str, spec: VolumeSpec) -> None:
    """A claim whose making failed half way is of no use to anyone."""
    try:
        await context.fleet.agent(node).drop(spec.id)
    except DriverError as error:
        log.warning("half a claim left", extra={"volume": str(spec.id), "node": node, "error": str(error)})


def _words(error: DriverError) -> str:
    return str(error) or error.kind.value


def _verdict(failed: Mapping[str, DriverError], why: str) -> DriverError:
    """One error for all, whose ``why`` tells what failed: not final when a claim may stand where nobody answers."""
    for kind in (Unavailable, InternalError):
        if any(isinstance(error, kind) for error in failed.values()):
            return kind(why)
    return NoCapacity(why)
