"""A clean stop: what the agent exports is taken down and flushed, so that the next boot knows that nothing was lost.

For the end of the host, not of this process: exports live on without it. Consumers wait, as for any reboot.
"""

from __future__ import annotations

import logging

from csi_driver.agent import teardown
from csi_driver.agent.context import AgentContext
from csi_driver.model.publication import Transport

log = logging.getLogger(__name__)


async def stop_exports(context: AgentContext) -> int:
    """Every export is gone, all that it wrote is on the disk, and the journal says so. How many there were.

    The publications stand: they are put up again after the boot. Waits as long as the disks do.
    """
    dm, devices = context.doors.dm, context.doors.devices
    stopped = 0
    for volume in context.journal.volumes():
        if all(entry.request.transport is Transport.LOCAL for entry in context.journal.of(volume)):
            continue
        # Returns when every session is closed and its commands have ended; only then is a flush the last word.
        await teardown.remove_exports(context, volume)
        device = await dm.find(str(volume))
        if device is not None and device.has_table:
            await devices.flush(device.devno)
        stopped += 1
    await context.journal.mark_clean(context.doors.host.boot_id())
    log.info("exports stopped", extra={"volumes": stopped})
    return stopped
