"""A thin LV that begins with what another one holds now: what snapshots, restores and clones have in common."""

from __future__ import annotations

from csi_driver.agent import quiesce
from csi_driver.agent.context import AgentContext
from csi_driver.host import wrapper
from csi_driver.host.dm.tables import mapper_name, pool_name
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import SECTOR


async def cut(
    context: AgentContext, group: VolumeGroup, origin: LogicalVolume, name: str, marks: frozenset[str]
) -> None:
    """Make ``name`` from ``origin`` in the same pool, inactive. The caller holds the group's lock: nobody grows the
    origin meanwhile, whose own device is suspended for a moment then (``lvm.create_snapshot`` must never meet that).
    """
    await _awake(context, group, origin)
    up = await context.doors.dm.find(pool_name(group.name, origin.pool)) is not None
    volume = VolumeId.parse(origin.name)
    lvm = context.doors.lvm
    if volume is None:
        await lvm.create_snapshot(name, vg=group.name, origin=origin.name, tags=marks, pool_is_up=up)
        return
    async with quiesce.at_rest(context, volume):
        await lvm.create_snapshot(name, vg=group.name, origin=origin.name, tags=marks, pool_is_up=up)


async def _awake(context: AgentContext, group: VolumeGroup, origin: LogicalVolume) -> None:
    """A crash while it grew may have left the origin's own device suspended: LVM would break the pool."""
    seen = await context.doors.dm.find(mapper_name(group.name, origin.name))
    if seen is not None and seen.suspended:
        await wrapper.thin_extend(context.doors.dm, vg=group.name, lv=origin.name, sectors=origin.size // SECTOR)
