"""Unpublish: the fence. On return the node cannot reach the volume and nothing it sent is on its way.

Remote: the kernel's ``rmdir`` of the ACL returns only when every session of that initiator is closed and its
commands have ended (mechanisms.md 2). Local: when the wrapper is still open, or something may still lead to it, an
``error`` table takes the place of the volume under it (mechanisms.md 1). Both wait as long as the disk does; the job
waits with them.
"""

from __future__ import annotations

import logging

from csi_driver.agent import publish, teardown
from csi_driver.agent.context import AgentContext
from csi_driver.errors import Busy
from csi_driver.host import wrapper
from csi_driver.host.lio import targets
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Publication, Transport

log = logging.getLogger(__name__)


async def unpublish(context: AgentContext, volume: VolumeId, node: str) -> int:
    """See ``AgentPort.unpublish``. The initiator's name comes from the journal: the node may be gone."""
    entry = context.journal.get(volume, node)
    if entry is not None:
        await _shut_out(context, entry)
        if len(context.journal.of(volume)) == 1:
            await _take_down(context, entry)
        await context.journal.remove(volume, node)
        log.info("unpublished", extra={"volume": str(volume), "node": node})
    context.picture.drop_publication(volume, node)
    await teardown.sweep_severed(context)
    return entry.number if entry else 0


async def _shut_out(context: AgentContext, entry: Publication) -> None:
    if entry.request.transport is Transport.ISCSI:
        await targets.remove_acl(context.doors.configfs, entry.volume, entry.request.initiator)


async def _take_down(context: AgentContext, entry: Publication) -> None:
    """The last user is out: export and wrapper go. Whoever may still use the wrapper keeps a dead one."""
    await teardown.remove_exports(context, entry.volume)
    if publish.keeps_reservations(entry.request):
        await context.doors.reservations.forget(entry.volume.serial)
    name = str(entry.volume)
    try:
        await teardown.remove_wrapper(context, entry.volume)
    except Busy:
        await wrapper.sever(context.doors.dm, name, entry.wrapper)
        log.warning("severed while in use", extra={"volume": name, "node": entry.node})
