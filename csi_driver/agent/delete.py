"""Delete: remove a volume that nobody may use any more."""

from __future__ import annotations

import logging

from csi_driver.agent import device, tags, teardown
from csi_driver.agent.context import AgentContext, Found
from csi_driver.errors import Busy, Precondition
from csi_driver.host.dm.tables import mapper_name
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Wipe

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
        if found.volume.wipe is Wipe.DELETE:
            await _wipe(context, found)
        async with context.locks[found.group.name]:
            try:
                await context.doors.lvm.remove(str(volume), vg=found.group.name)
            except Busy as error:
                raise Precondition(f"volume {volume} is open on node {context.node}: {error}") from error
        log.info("volume deleted", extra={"volume": str(volume)})
    context.picture.drop_volume(volume)


async def _wipe(context: AgentContext, found: Found) -> None:
    """Overwrite all that the volume holds, before its extents are anyone's again. A repeat begins anew.

    The tag comes first: a volume that is overwritten in part is nobody's any more, whatever happens to us.
    """
    volume, lv, vg = found.volume, found.lv, found.group.name
    seen = await context.doors.dm.find(mapper_name(vg, lv.name))
    if seen is not None and seen.open_count:
        raise Precondition(f"volume {volume.id} is open on node {context.node}: it is not overwritten")
    if volume.content is not Content.DELETING:
        add, remove = frozenset({tags.content(Content.DELETING)}), frozenset({tags.content(volume.content)})
        async with context.locks[vg]:
            await context.doors.lvm.change_tags(lv.name, vg=vg, add=add, remove=remove)
    devno = await device.open_volume(context, found)
    await context.doors.devices.zero(devno, offset=0, length=lv.size)
    log.info("volume overwritten", extra={"volume": str(volume.id)})
