"""After a start: everything that the journal promises stands again, from tags and journal alone.

Kubernetes is not asked. Each target is enabled last, when all behind it is there, so a consumer whose session
comes back never meets a target without its disk.
"""

from __future__ import annotations

import logging

from csi_driver.agent import aftermath, publish, teardown
from csi_driver.agent.context import AgentContext
from csi_driver.errors import Busy, DriverError, Unavailable
from csi_driver.host.doors import DmDevice
from csi_driver.model.ids import DM_UUID_PREFIX, VolumeId

log = logging.getLogger(__name__)


async def restore(context: AgentContext) -> tuple[VolumeId, ...]:
    """Put up every publication of the journal; volumes that could not be are returned, to be tried again."""
    await _settle_wrappers(context)
    for publication in context.journal.all():
        context.picture.put_publication(publication)
    return tuple([volume for volume in context.journal.volumes() if not await _restore_one(context, volume)])


async def again(context: AgentContext, volume: VolumeId) -> bool:
    """One more try, as a job of the volume: what the journal says must not be let in while someone is shut out.

    True when all of it stands, or the volume is not published any more.
    """
    if not context.journal.of(volume):
        return True
    try:
        return await context.jobs.run(str(volume), "restore", None, lambda: _restore_one(context, volume))
    except (Busy, Unavailable):
        return False


async def _restore_one(context: AgentContext, volume: VolumeId) -> bool:
    try:
        found = await context.look(volume)
        if found is None:
            log.error("published volume is missing", extra={"volume": str(volume)})
            return False
        await aftermath.settle(context, found)
        await publish.put_up(context, found)
    except DriverError as error:
        log.warning("publication not restored", extra={"volume": str(volume), "error": str(error)})
        return False
    return True


async def _settle_wrappers(context: AgentContext) -> None:
    """Wrappers that a crash left behind: those of no publication are removed unless someone may still use them."""
    await teardown.sweep_severed(context)
    for device in await context.doors.dm.devices():
        volume = VolumeId.parse(device.name)
        if volume is None or not _is_wrapper(device, volume):
            continue
        if not context.journal.of(volume) and device.open_count == 0 and not await context.refers(device):
            await teardown.remove_exports(context, volume)
            await teardown.remove_unused_wrapper(context, volume)


def _is_wrapper(device: DmDevice, volume: VolumeId) -> bool:
    return device.uuid.startswith(f"{DM_UUID_PREFIX}{volume}-")
