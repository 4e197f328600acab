"""NodeGetVolumeStats: how full a volume is, for kubelet's metrics (csi.md 1.8)."""

from __future__ import annotations

from csi_driver.node import look
from csi_driver.node.context import NodeContext, volume_of
from csi_driver.node.requests import Bytes, Inodes, StatsRequest, VolumeStats


async def stats(context: NodeContext, request: StatsRequest) -> VolumeStats:
    """Bytes and inodes of a mounted volume, the size alone of a block one.

    NotFound when the volume is not at that path, Unavailable when its file system does not answer in time.
    """
    volume = volume_of(request.volume)
    place = await look.place(context, volume, look.tidy(request.volume_path))
    if place.mount is None:
        return VolumeStats(bytes=Bytes(total=await context.doors.devices.size(place.own.devno)))
    usage = await context.doors.mounts.usage(place.mount.target)
    return VolumeStats(
        bytes=Bytes(total=usage.total, used=usage.used, available=usage.available),
        inodes=Inodes(total=usage.inodes, used=usage.inodes_used, available=usage.inodes_free),
    )
