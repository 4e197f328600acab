"""Commit and drop: what becomes of a claim. Both decide under the group's lock, so one of two callers wins."""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import claim, tags
from csi_driver.agent.context import AgentContext, Made
from csi_driver.errors import Busy, NotFound, Precondition
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Volume

log = logging.getLogger(__name__)


async def commit(context: AgentContext, volume: VolumeId) -> Volume:
    """The volume, READY for ever. A claim whose making was cut short is finished first. NotFound when dropped.

    A claim that this process has finished is not looked at again: lvchange itself says when it is gone.
    """
    if volume not in context.made:
        found = await context.look(volume)
        if found is None:
            raise NotFound(f"node {context.node} has no volume {volume}")
        done = await claim.finish(context, found)
        if done.content is not Content.CLAIMED:
            context.picture.put_volume(done)
            return done
    done = await _write_down(context, context.made[volume])
    log.info("volume committed", extra={"volume": str(volume)})
    context.picture.put_volume(done)
    return done


async def _write_down(context: AgentContext, made: Made) -> Volume:
    """One command for all that the tags do not say yet: what the making has done, and that it is READY."""
    volume = made.volume
    async with context.locks[volume.vg]:
        # Whatever comes of it, only the tags tell from now on: a repeat looks.
        if context.made.pop(volume.id, None) is not made:
            if await context.look(volume.id) is None:
                raise NotFound(f"volume {volume.id} was dropped meanwhile")
            raise Busy(f"volume {volume.id} was changed meanwhile; ask again")
        await context.doors.lvm.change_tags(
            str(volume.id),
            vg=volume.vg,
            add=made.add | {tags.content(Content.READY)},
            remove=made.remove | {tags.content(Content.CLAIMED)},
        )
    return dataclasses.replace(volume, content=Content.READY)


async def drop(context: AgentContext, volume: VolumeId) -> None:
    """Remove what is still a claim. Fine when absent; Precondition when it was committed meanwhile."""
    found = await context.look(volume)
    if found is not None:
        async with context.locks[found.group.name]:
            found = await context.look(volume)
            if found is not None:
                if found.volume.content is not Content.CLAIMED:
                    raise Precondition(f"volume {volume} is committed: it is not dropped")
                context.made.pop(volume, None)
                await context.doors.lvm.remove(str(volume), vg=found.group.name)
                log.info("claim dropped", extra={"volume": str(volume)})
    context.picture.drop_volume(volume)
