"""One name, one volume: claim, look, commit (DESIGN 3), whoever else tries at the same time or dies on the way.

Rules that exclude two committed volumes of a name, among nodes that answer:

- a claim is committed only after a look at every node that began when the claim was known to be there;
- before that, every other claim the look saw is dropped, and its agent has said so;
- an agent drops only claims and commits only what is there, under the lock of its volume group.

Of two claims the one made later is looked for after the earlier one was made: so one of the two sees the other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping

from csi_driver.control.context import Context
from csi_driver.control.lookup import Seen, look
from csi_driver.control.order import Order
from csi_driver.control.place import place
from csi_driver.errors import Busy, DriverError, Incompatible, NotFound, Precondition, StillWorking, Unavailable
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Volume

log = logging.getLogger(__name__)

ROUNDS = 10
"""Looks at the fleet for one request. Each controller at work on the same name may cost the others a few."""


async def settle(context: Context, order: Order) -> Volume:
    """The one volume of this name, committed.

    Raises Incompatible when it exists otherwise, NoCapacity or OutOfRange when it can be made nowhere, and errors
    that are not final when it cannot be told yet.
    """
    if (standing := _settled(context, order)) is not None:
        return await _existing(context, order, [standing], ())
    known = _committed(context, order)
    for _ in range(ROUNDS):
        seen = await look(context, order.key)
        _check_unseen(context, order, seen, known)
        committed = [volume for volume in seen.found if volume.content is not Content.CLAIMED]
        claims = sorted((each for each in seen.found if each.content is Content.CLAIMED), key=lambda each: each.id)
        if committed:
            return await _existing(context, order, committed, claims)
        fitting = [claim for claim in claims if not _differences(context, order, claim)]
        if not fitting:
            if await _drop(context, claims):
                claim = await place(context, order)
                known[claim.id] = claim.node
        elif fitting[0].id not in known:
            known.update((claim.id, claim.node) for claim in claims)
        elif (volume := await _commit(context, fitting[0], claims)) is not None:
            return volume
    raise Busy(f"the name {order.name!r} is being settled by another controller; ask again")


def _settled(context: Context, order: Order) -> Volume | None:
    """The volume that this process has settled a moment ago for a caller who was gone by then, if its node says that it
    stands: a look that takes longer than every caller waits must not begin anew for each.
    """
    volume = context.attempts.settled(order.key)
    node = context.fleet.locate(volume) if volume else None
    if volume is None or node is None or not context.fleet.node(node).answering:
        return None
    return context.fleet.node(node).volumes.get(volume)


def _committed(context: Context, order: Order) -> dict[VolumeId, str]:
    """The claim of the name whose commit has not been answered, and its node; none when that was dismissed since."""
    known = context.attempts.committed(order.key)
    members = {state.name for state in context.fleet.nodes()}
    if not members.issuperset(known.values()):
        log.warning("commit forgotten with its node", extra={"volumes": [str(volume) for volume in known]})
        context.attempts.end(order.key)
        return {}
    return known


def _check_unseen(context: Context, order: Order, seen: Seen[Volume], known: Mapping[VolumeId, str]) -> None:
    """A node that does not answer stops nothing, unless it is known to hold just this volume."""
    if not seen.answered:
        raise Unavailable(f"no node answers: {seen.silence() or 'there is none'}")
    held = dict(known)
    for state in context.fleet.nodes():
        # Of a large inventory only what was committed under this name matters.
        ours = (volume for volume in state.volumes.values() if volume.id.key == order.key)
        held.update((volume.id, state.name) for volume in ours if volume.content is not Content.CLAIMED)
    for volume, node in sorted(held.items()):
        if node not in seen.answered:
            why = seen.silent.get(node, "it did not answer")
            raise Unavailable(f"volume {volume} of this name lies on node {node}, which is silent: {why}")


async def _existing(context: Context, order: Order, committed: list[Volume], claims: Iterable[Volume]) -> Volume:
    """The volume that stands, if it is the one ordered. Claims beside it are dropped as far as that goes."""
    context.attempts.end(order.key)
    volume = min(committed, key=lambda each: each.id)
    if len(committed) > 1:
        log.warning("a name has several volumes", extra={"volumes": [str(each.id) for each in committed]})
    if differences := _differences(context, order, volume):
        raise Incompatible(f"volume {volume.id} has the name {order.name!r} already, but {'; '.join(differences)}")
    if volume.content is not Content.READY:
        raise StillWorking(f"volume {volume.id} is {volume.content.value}; ask again")
    context.attempts.settle(volume.id)
    for claim in claims:
        try:
            async with asyncio.timeout(context.patience.look):
                await context.fleet.agent(claim.node).drop(claim.id)
        except (DriverError, TimeoutError) as error:
            log.warning("claim left behind", extra={"volume": str(claim.id), "node": claim.node, "error": str(error)})
    return volume


async def _drop(context: Context, claims: Iterable[Volume]) -> bool:
    """Whether all of them are gone; False when one was committed meanwhile. Raises when an agent cannot say."""
    for claim in claims:
        try:
            await context.fleet.agent(claim.node).drop(claim.id)
        except Precondition:
            return False
        context.fleet.forget(claim.id)
    return True


async def _commit(context: Context, chosen: Volume, claims: Iterable[Volume]) -> Volume | None:
    """The chosen one, committed after the others are gone; None when another controller was faster."""
    if not await _drop(context, [claim for claim in claims if claim.id != chosen.id]):
        return None
    agent = context.fleet.agent(chosen.node)
    context.attempts.commit(chosen.id, chosen.node)
    try:
        volume = await agent.commit(chosen.id)
    except NotFound:
        context.attempts.end(chosen.id.key)
        return None
    context.attempts.settle(chosen.id)
    context.fleet.learn(volume)
    return volume


def _differences(context: Context, order: Order, volume: Volume) -> tuple[str, ...]:
    state = context.fleet.node(volume.node)
    return order.differences(volume, state.labels, exported=bool(state.portals))
