"""NodeExpandVolume: this node sees the size that the volume has now, and the file system fills it (failures.md I11).

The order is fixed: the storage side has grown the volume before; here the disk is read anew and proven once more to
be the volume, then the wrapper follows, then the file system. Nothing is asked of the caller but the path.
"""

from __future__ import annotations

import logging

from csi_driver.errors import InternalError, Unavailable
from csi_driver.host import wrapper
from csi_driver.host.dm import tables
from csi_driver.host.doors import Mount, ScsiDisk
from csi_driver.model.access import FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import SECTOR, show
from csi_driver.node import look
from csi_driver.node.connect import mismatch, too_small
from csi_driver.node.context import NodeContext, volume_of
from csi_driver.node.look import Own
from csi_driver.node.requests import ExpandRequest

log = logging.getLogger(__name__)


async def expand(context: NodeContext, request: ExpandRequest) -> int:
    """The size in bytes that the volume has on this node now; fine when it had it before.

    NotFound when the volume is not at that path, Unavailable when the target does not answer or has not grown yet,
    InternalError when the device is not the volume: then nothing is changed.
    """
    volume, path = volume_of(request.volume), look.tidy(request.volume_path)
    work = (path, request.limits)
    return await context.jobs.run(
        str(volume), "NodeExpandVolume", work, lambda: _expand(context, volume, path, request.limits.required or 0)
    )


async def _expand(context: NodeContext, volume: VolumeId, path: str, required: int) -> int:
    place = await look.place(context, volume, path)
    await look.check_live(context.doors.dm, volume, place.own)
    if place.own.consumer:
        await _follow_disk(context, volume, place.own)
    size = await context.doors.devices.size(place.own.devno)
    if problem := too_small(size, _least(context, volume)):
        raise InternalError(f"volume {volume}: device {place.own.device.name} is not the volume: {problem}")
    if size < required:
        raise Unavailable(
            f"volume {volume} has {show(size)} on this node and {show(required)} are asked for; ask again when the "
            "storage node has grown it"
        )
    # Before the file system fills it: from now on less would be a loss.
    await context.stages.seen(volume, size)
    if place.mount is not None:
        await _grow_fs(context, place.own, place.mount)
    log.info("expanded", extra={"volume": str(volume), "size": size})
    return size


async def _follow_disk(context: NodeContext, volume: VolumeId, own: Own) -> None:
    """Let this node's wrapper grow to its disk as the target has it now."""
    devices = context.doors.devices
    disk = await _disk_below(context, volume, own)
    await devices.rescan(disk)
    identity = await devices.identity(disk)
    problem = mismatch(volume, identity, _least(context, volume))
    if problem:
        raise InternalError(f"volume {volume}: disk {disk.name} is not the volume: {problem}")
    await wrapper.grow(context.doors.dm, own.device.name, over=disk.devno, sectors=identity.size // SECTOR)


def _least(context: NodeContext, volume: VolumeId) -> int:
    stage = context.stages.get(volume)
    return stage.size if stage else 0


async def _disk_below(context: NodeContext, volume: VolumeId, own: Own) -> ScsiDisk:
    (line,) = await context.doors.dm.table(own.device.name)
    for disk in await context.doors.devices.disks(volume.iqn):
        if tables.below(line) == (disk.devno, 0):
            return disk
    raise Unavailable(f"volume {volume}: its iSCSI disk is not there; it has to be unstaged and staged again")


async def _grow_fs(context: NodeContext, own: Own, mount: Mount) -> None:
    """Grow through a mount that may be written through; a volume staged read-only grows when it is next writable."""
    mounts = [one for one in await context.doors.mounts.table() if one.devno == own.devno]
    writable = [one for one in mounts if "ro" not in one.options and not look.has_stopped(one)]
    if not writable:
        return
    fs, path = FsType(mount.fs), context.doors.devices.path(own.devno)
    await context.doors.filesystems.grow(path, mountpoint=writable[0].target, fs=fs)
