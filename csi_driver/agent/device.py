"""The device of a logical volume: used only after LVM and device-mapper name the same number for it.

Links and names go stale (cluster.md, "The node plugin in a container"); numbers are compared each time.
"""

from __future__ import annotations

import dataclasses
import itertools

from csi_driver.agent.context import AgentContext, Found
from csi_driver.errors import InternalError, Unavailable
from csi_driver.host import wrapper
from csi_driver.host.dm.tables import mapper_name
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.sizes import SECTOR

LVM_UUID_PREFIX = "LVM-"
UUID_LENGTH = 32
"""Characters of a uuid of LVM without its dashes."""


async def open_volume(context: AgentContext, found: Found) -> tuple[int, int]:
    """Activate the volume and return its device number, proven.

    Unavailable when the device is not there although LVM activated it (udev stopped): ask again.
    """
    lv, group = found.lv, found.group
    if not lv.active:
        await context.doors.lvm.activate(lv.name, vg=group.name)
        again = (await context.doors.lvm.group(group.name)).volume(lv.name)
        if again is None:
            raise InternalError(f"logical volume {group.name}/{lv.name} went away while it was activated")
        lv = again
    return await _proven(context, group.name, lv)


async def told_by_kernel(context: AgentContext, group: VolumeGroup, lv: LogicalVolume) -> LogicalVolume | None:
    """``lv``, which LVM has just made active, with its uuid and its device; None when the kernel does not tell."""
    seen = await context.doors.dm.find(mapper_name(group.name, lv.name))
    head = LVM_UUID_PREFIX + group.uuid.replace("-", "")
    if seen is None or not seen.uuid.startswith(head) or len(seen.uuid) != len(head) + UUID_LENGTH:
        return None
    tail, lengths = seen.uuid.removeprefix(head), (6, 4, 4, 4, 4, 4, 6)
    ends = tuple(itertools.accumulate(lengths))
    uuid = "-".join(tail[end - length : end] for end, length in zip(ends, lengths, strict=True))
    return dataclasses.replace(lv, uuid=uuid, devno=seen.devno)


async def follow(context: AgentContext, found: Found) -> None:
    """The device of a thin volume is as long as LVM says: a crash may have come between the two (``extend``)."""
    if not found.lv.active:
        return
    devno = await open_volume(context, found)
    if await context.doors.devices.size(devno) < found.lv.size:
        sectors = found.lv.size // SECTOR
        await wrapper.thin_extend(context.doors.dm, vg=found.group.name, lv=found.lv.name, sectors=sectors)


async def _proven(context: AgentContext, vg: str, lv: LogicalVolume) -> tuple[int, int]:
    seen = await context.doors.dm.find(mapper_name(vg, lv.name))
    expected = LVM_UUID_PREFIX + lv_uuid_tail(lv)
    if lv.devno is None or seen is None:
        raise Unavailable(f"the device of {vg}/{lv.name} has not appeared; is udevd running on {context.node}?")
    if seen.devno != lv.devno or not seen.uuid.startswith(LVM_UUID_PREFIX) or not seen.uuid.endswith(expected[4:]):
        raise InternalError(
            f"LVM says that {vg}/{lv.name} is device {lv.devno}, device-mapper says {seen.devno} ({seen.uuid})"
        )
    return seen.devno


def lv_uuid_tail(lv: LogicalVolume) -> str:
    """The LV's uuid as the dm uuid ends with it: ``LVM-<vg uuid><lv uuid>``, dashes left out."""
    return lv.uuid.replace("-", "")
