"""Commit and drop: what becomes of a claim. Both decide under the group's lock, so one of two callers wins."""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import claim, tags
from csi_driver.agent.context import AgentContext
from csi_driver.errors import NotFound, Precondition
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Volume

log = logging.getLogger(__name__)


async def commit(context: AgentContext, volume: VolumeId) -> Volume:
    """The volume, READY for ever. A claim whose making was cut short is finished first. NotFound when dropped."""
    found = await context.look(volume)
    if found is None:
        raise NotFound(f"node {context.node} has no volume {volume}")
    await claim.finish(context, found)
    async with context.locks[found.group.name]:
        found = await context.look(volume)
        if found is None:
            raise NotFound(f"volume {volume} was dropped meanwhile")
        if found.volume.content is Content.CLAIMED:
            await context.doors.lvm.change_tags(
                str(volume),
                vg=found.group.name,
                add=frozenset({tags.content(Content.READY)}),
                remove=frozenset({tags.content(Content.CLAIMED)}),
            )
            log.info("volume committed", extra={"volume": str(volume)})
    done = dataclasses.replace(found.volume, content=Content.READY)
    context.picture.put_volume(done)
    return done


async def drop(context: AgentContext, volume: VolumeId) -> None:
    """Remove what is still a claim. Fine when absent; Precondition when it was committed meanwhile."""
    found = await context.look(volume)
    if found is not None:
        async with context.locks[found.group.name]:
            found = await context.look(volume)
            if found is not None:
                if found.volume.content is not Content.CLAIMED:
                    raise Precondition(f"volume {volume} is committed: it is not dropped")
                await context.doors.lvm.remove(str(volume), vg=found.group.name)
                log.info("claim dropped", extra={"volume": str(volume)})
    context.picture.drop_volume(volume)
