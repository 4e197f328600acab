"""Look-ups: volumes by the key of their name, and by id. By what LVM told, not by the picture."""

from __future__ import annotations

from csi_driver.agent import tags
from csi_driver.agent.context import KNOWN, AgentContext
from csi_driver.errors import NotFound
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Volume


async def find(context: AgentContext, key: str) -> tuple[Volume, ...]:
    """Every volume whose name has this key: claims, and at most one that is committed.

    Nobody but this agent makes them, so a look that has all its changes shows them all. One that is there may have
    been taken away by hand since: LVM is asked again, unless it is what we have made just now. Raises as
    ``AgentContext.read_groups``.
    """
    found = await _look(context, key, within=KNOWN)
    if all(volume.id in context.made for volume in found):
        return found
    return await _look(context, key, within=0.0)


async def _look(context: AgentContext, key: str, *, within: float) -> tuple[Volume, ...]:
    found = []
    async for group in context.read_groups(within=within):
        for lv in group.volumes:
            volume = tags.volume(lv, node=context.node, cluster=context.cluster)
            if volume is not None and volume.id.key == key:
                found.append(volume)
    return tuple(found)


async def get(context: AgentContext, volume: VolumeId) -> Volume:
    """The volume of that id. NotFound when this node has none."""
    found = await context.look(volume)
    if found is None:
        raise NotFound(f"node {context.node} has no volume {volume}")
    return found.volume
