"""A moment of rest for whoever uses a volume here while it is cut: its snapshot then needs no fsck and no replay.

Only for a writer on this very node, whose wrapper is the device that the file system sits on. What a remote writer has
in its caches is unknown here: its snapshot is what a crash at that moment would leave, with everything in it that was
acknowledged as synced.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from csi_driver.agent.context import AgentContext
from csi_driver.errors import DriverError
from csi_driver.host import wrapper
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Transport

log = logging.getLogger(__name__)

LONGEST = 10.0
"""Seconds that a user may stand still: then it goes on, and what is cut is as a crash would leave it."""


async def write_out(context: AgentContext, volume: VolumeId) -> None:
    """Have what is dirty written now, outside any lock: the rest that follows is short."""
    async with at_rest(context, volume):
        pass


@asynccontextmanager
async def at_rest(context: AgentContext, volume: VolumeId, longest: float = LONGEST) -> AsyncIterator[None]:
    """Within this block a local writer's file system is frozen. One that cannot be frozen is left alone.

    If this process dies in it, the next one lets go when it puts up the publication again (``agent.restore``).
    """
    if not await _has_writer(context, volume):
        yield
        return
    name, dm = str(volume), context.doors.dm
    try:
        await wrapper.freeze(dm, name)
    except DriverError as error:
        log.warning("not frozen for its snapshot", extra={"volume": name, "error": str(error)})
        yield
        return
    limit = asyncio.create_task(_let_go_late(context, volume, longest), name=f"let go {name}")
    try:
        yield
    finally:
        limit.cancel()
        await wrapper.thaw(dm, name)


async def _has_writer(context: AgentContext, volume: VolumeId) -> bool:
    entries = context.journal.of(volume)
    if not any(e.request.transport is Transport.LOCAL and not e.request.write_protected for e in entries):
        return False
    device = await context.doors.dm.find(str(volume))
    return device is not None and device.has_table and not device.suspended and device.open_count > 0


async def _let_go_late(context: AgentContext, volume: VolumeId, seconds: float) -> None:
    await asyncio.sleep(seconds)
    log.warning("the volume goes on before its snapshot is cut", extra={"volume": str(volume), "seconds": seconds})
    await wrapper.thaw(context.doors.dm, str(volume))
