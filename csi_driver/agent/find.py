"""Look-ups: volumes by the key of their name, and by id. Read from LVM, not from the picture."""

from __future__ import annotations

from csi_driver.agent import tags
from csi_driver.agent.context import RECENT, AgentContext
from csi_driver.errors import NotFound
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Volume


async def find(context: AgentContext, key: str) -> tuple[Volume, ...]:
    """Every volume whose name has this key: claims, and at most one that is committed.

    Nobody but this agent makes them, so a look that is not older than its last change shows them all.
    Raises as ``AgentContext.read_groups``.
    """
    found = []
    async for group in context.read_groups(within=RECENT):
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
