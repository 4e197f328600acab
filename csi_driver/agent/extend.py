"""Extend: grow a volume, under its users' feet when it is published.

LVM's own extension of an active thin volume suspends the whole pool (kernel.md 8): the metadata is changed by
LVM, the kernel's table by us. A crash between the two is mended by a repeat, which compares the sizes.
"""

from __future__ import annotations

import logging

from csi_driver.agent import claim, device
from csi_driver.agent.context import AgentContext, Found
from csi_driver.agent.pools import describe, figures
from csi_driver.errors import InternalError, NoCapacity, NotFound, OutOfRange, Precondition
from csi_driver.host import wrapper
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import SECTOR, round_up, show
from csi_driver.model.volume import Layout, Volume
from csi_driver.settings import PoolSettings

log = logging.getLogger(__name__)


async def extend(context: AgentContext, volume: VolumeId, size: int) -> Volume:
    """The volume with at least ``size`` bytes, visible at its wrapper. OutOfRange when the pool has no room.

    RESOURCE_EXHAUSTED would lock the claim at the larger size (csi.md 1.3); OutOfRange lets the user ask for less.
    """
    found = await context.look(volume)
    if found is None:
        raise NotFound(f"node {context.node} has no volume {volume}")
    async with context.locks[found.group.name]:
        found = await _grow(context, volume, size)
        if found.volume.layout is Layout.THIN:
            # Under the lock, as the volume's own device is suspended for a moment: nobody may cut it then.
            await device.follow(context, found)
    if found.volume.layout is not Layout.THIN:
        # Only then it is part of the volume: ``tags.volume`` leaves out what is not clean.
        await claim.clear(context, volume, found.lv.size)
        found = await _there(context, volume)
    if await context.doors.dm.find(str(volume)) is not None:
        devno = await device.open_volume(context, found)
        await wrapper.grow(context.doors.dm, str(volume), over=devno, sectors=found.lv.size // SECTOR)
    context.picture.put_volume(found.volume)
    return found.volume


async def _grow(context: AgentContext, volume: VolumeId, size: int) -> Found:
    found = await _there(context, volume)
    if found.lv.size >= size:
        return found
    pool = describe(_pool(context, found), found.group, context.node)
    wanted = round_up(size, pool.unit(found.volume.layout))
    more, free = wanted - found.lv.size, pool.free(found.volume.layout) or 0
    if pool.problem or free < more:
        why = pool.problem or f"it has {show(free)} left, {show(more)} more are needed ({figures(pool)})"
        raise OutOfRange(f"pool {pool.name} on node {context.node} cannot grow volume {volume}: {why}")
    quiet = found.volume.layout is Layout.THIN and found.lv.active
    try:
        await context.doors.lvm.extend(str(volume), vg=found.group.name, size=wanted, metadata_only=quiet)
    except NoCapacity as error:
        raise OutOfRange(f"volume {volume} cannot grow to {show(wanted)}: {error}") from error
    log.info("volume grown", extra={"volume": str(volume), "from": found.lv.size, "to": wanted})
    return await _there(context, volume)


def _pool(context: AgentContext, found: Found) -> PoolSettings:
    try:
        return context.pool(found.volume.pool)
    except NotFound as error:  # the volume is there all the same
        raise Precondition(f"volume {found.volume.id} cannot grow, its pool is no longer offered: {error}") from error


async def _there(context: AgentContext, volume: VolumeId) -> Found:
    found = await context.look(volume)
    if found is None:
        raise InternalError(f"volume {volume} went away while it was grown")
    return found
