"""After a start: everything that the journal promises stands again, from tags and journal alone.

Kubernetes is not asked. Each target is enabled last, when all behind it is there, so a consumer whose session
comes back never meets a target without its disk.
"""

from __future__ import annotations

import logging

from csi_driver.agent import publish, teardown
from csi_driver.agent.context import AgentContext
from csi_driver.errors import DriverError
from csi_driver.host.doors import DmDevice
from csi_driver.model.ids import DM_UUID_PREFIX, VolumeId
from csi_driver.model.publication import Publication

log = logging.getLogger(__name__)


async def restore(context: AgentContext) -> tuple[Publication, ...]:
    """Put up every publication of the journal; those that could not be are returned, to be tried again."""
    await _settle_wrappers(context)
    failed = []
    for publication in context.journal.all():
        context.picture.put_publication(publication)
        if not await _restore_one(context, publication):
            failed.append(publication)
    return tuple(failed)


async def again(context: AgentContext, failed: tuple[Publication, ...]) -> tuple[Publication, ...]:
    """One more try at those that are still in the journal; what still failed is returned."""
    current = [entry for entry in failed if context.journal.get(entry.volume, entry.node) == entry]
    return tuple([entry for entry in current if not await _restore_one(context, entry)])


async def _restore_one(context: AgentContext, publication: Publication) -> bool:
    volume = publication.volume
    try:
        found = await context.look(volume)
        if found is None:
            log.error("published volume is missing", extra={"volume": str(volume), "node": publication.node})
            return False
        await publish.put_up(context, publication, found)
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
