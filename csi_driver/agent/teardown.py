"""Taking away what publications put up: exports, wrappers, severed wrappers. Each may run twice."""

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
    """The wrapper over the LV is gone. Precondition when something still holds it open."""
    try:
        await wrapper.remove(context.doors.dm, str(volume))
    except Busy as error:
        raise Precondition(f"volume {volume} is in use on node {context.node}: {error}") from error


async def sweep_severed(context: AgentContext) -> None:
    """Severed wrappers that nobody holds any more are removed."""
    await wrapper.remove_severed(context.doors.dm)
