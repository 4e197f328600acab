"""After a boot: what became of writes that were acknowledged and not flushed when the last one ended (DESIGN 4).

The journal says with each publication in which boot it was last exported. Exports of another boot ended with a loss of
power, unless that boot left the mark of a clean stop (``agent.stop``). Written through, nothing was lost. Else the
consumer's pages may be clean over data that is gone, and a silent reconnect would let a later fsync succeed over the
loss: the publication ends, or, as the user chose, goes on and says so.
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent.context import AgentContext, Found
from csi_driver.model.publication import Publication, Transport
from csi_driver.model.volume import WriteCache

log = logging.getLogger(__name__)

REPORT = "UnflushedWritesMayBeLost"
"""How health, events and logs call it."""


async def settle(context: AgentContext, found: Found) -> None:
    """The journal's publications of a volume as they are to be put up in this boot; durable on return."""
    cache = found.volume.write_cache
    if cache is WriteCache.THROUGH:
        return
    boot = context.doors.host.boot_id()
    for entry in context.journal.of(found.volume.id):
        if entry.boot == boot:
            continue
        written = entry.request.transport is Transport.ISCSI and not entry.request.write_protected
        if not written or entry.boot == context.journal.clean_boot:
            await context.journal.put(dataclasses.replace(entry, boot=boot))
        elif cache is WriteCache.BACK:
            await _end(context, entry)
        else:
            await _resume(context, entry, boot)


async def _end(context: AgentContext, entry: Publication) -> None:
    """As after a fence: nothing is exported, the consumer is told by number, and a new publication is a new one."""
    log.error(
        "publication ended: the host lost power and writes that were not flushed may be lost",
        extra={"volume": str(entry.volume), "node": entry.node, "reason": REPORT},
    )
    await context.journal.remove(entry.volume, entry.node)
    context.picture.drop_publication(entry.volume, entry.node)


async def _resume(context: AgentContext, entry: Publication, boot: str) -> None:
    log.error(
        "publication resumed: the host lost power and writes that were not flushed may be lost",
        extra={"volume": str(entry.volume), "node": entry.node, "reason": REPORT},
    )
    resumed = dataclasses.replace(entry, boot=boot, unflushed=True)
    await context.journal.put(resumed)
    context.picture.put_publication(resumed)
