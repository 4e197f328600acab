"""Taking away what publications put up: exports, wrappers, severed wrappers. Each may run twice.

A wrapper is removed only when nothing can lead to it any more. A bind of a device node, and the node that a container
runtime makes inside a container, hold nothing open, but they keep its number; the kernel gives the number of a device
that is gone to the next one, and a late write would reach another volume.
"""

from __future__ import annotations

from csi_driver.agent.context import AgentContext
from csi_driver.errors import Busy, Precondition
from csi_driver.host import wrapper
from csi_driver.host.lio import targets
from csi_driver.model.ids import VolumeId


async def remove_exports(context: AgentContext, volume: VolumeId) -> None:
    """No target and no backstore of the volume is left."""
    await targets.remove_target(context.doors.configfs, volume)


async def remove_wrapper(context: AgentContext, volume: VolumeId) -> None:
    """The wrapper over the LV is gone; fine when there was none. Busy when something holds it or may lead to it."""
    name = str(volume)
    device = await context.doors.dm.find(name)
    if device is None:
        return
    if await context.refers(device):
        raise Busy(f"{name} is staged or bound on this node")
    await wrapper.remove(context.doors.dm, name)


async def remove_unused_wrapper(context: AgentContext, volume: VolumeId) -> None:
    """As ``remove_wrapper``, of a volume that is not published. Precondition in place of Busy."""
    try:
        await remove_wrapper(context, volume)
    except Busy as error:
        raise Precondition(f"volume {volume} is in use on node {context.node}: {error}") from error


async def sweep_severed(context: AgentContext) -> None:
    """Severed wrappers that nobody holds and nothing leads to any more are removed."""
    await wrapper.remove_severed(context.doors.dm, context.refers)
