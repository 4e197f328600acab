"""ControllerUnpublishVolume: the fence."""

from __future__ import annotations

import asyncio
import logging

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_owner
from csi_driver.control.requests import UnpublishVolume
from csi_driver.errors import DriverError
from csi_driver.model.ids import VolumeId

log = logging.getLogger(__name__)


async def unpublish_volume(context: Context, request: UnpublishVolume) -> None:
    """On return the node can no longer reach the volume and nothing of it is in flight; an empty node: no node can.

    Needs the storage node only: the other one may be dead. A volume that is gone is reached by nobody. Raises
    Unavailable when the storage node does not answer, or cannot be told.
    """
    volume = VolumeId.parse(checks.given(request.id, "volume_id"))
    if volume is None:
        return
    owner = await find_owner(context, volume)
    if owner is None:
        return
    nodes = (request.node,) if request.node else _everyone(context, owner, volume)
    ended: dict[str, int] = {}
    for node in nodes:
        ended[node] = await context.fleet.agent(owner).unpublish(volume, node)
        context.fleet.forget_publication(owner, volume, node)
    await asyncio.gather(*(_release(context, volume, node, number) for node, number in ended.items() if number))


def _everyone(context: Context, owner: str, volume: VolumeId) -> tuple[str, ...]:
    """Every node that may hold it. Our picture may be a moment old, so the known nodes are shut out one and all."""
    known = {state.name for state in context.fleet.nodes()}
    return tuple(sorted(known.union(context.fleet.node(owner).consumers(volume))))


async def _release(context: Context, volume: VolumeId, node: str, number: int) -> None:
    """The node ends its I/O and forgets a secret that opens nothing any more. One that does not answer does so when
    it is heard again (``control.overdue``).
    """
    try:
        async with asyncio.timeout(context.patience.release):
            await context.fleet.agent(node).release(volume, number)
    except (DriverError, TimeoutError) as error:
        log.info("not released", extra={"volume": str(volume), "node": node, "error": str(error)})
