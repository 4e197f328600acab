"""Delete: remove a volume that nobody may use any more."""

from __future__ import annotations

import logging

from csi_driver.agent import teardown
from csi_driver.agent.context import AgentContext
from csi_driver.errors import Busy, Precondition
from csi_driver.model.ids import VolumeId

log = logging.getLogger(__name__)


async def delete(context: AgentContext, volume: VolumeId) -> None:
    """The volume is gone on return; fine when it was. Precondition while it is published or in use."""
    if entries := context.journal.of(volume):
        nodes = ", ".join(sorted(entry.node for entry in entries))
        raise Precondition(f"volume {volume} is still published to node {nodes}; unpublish it first")
    found = await context.look(volume)
    # What a crash between publish and journal may have left stands in the way of lvremove.
    await teardown.remove_exports(context, volume)
    await teardown.remove_unused_wrapper(context, volume)
    if found is not None:
        async with context.locks[found.group.name]:
            try:
                await context.doors.lvm.remove(str(volume), vg=found.group.name)
            except Busy as error:
                raise Precondition(f"volume {volume} is open on node {context.node}: {error}") from error
        log.info("volume deleted", extra={"volume": str(volume)})
    context.picture.drop_volume(volume)
