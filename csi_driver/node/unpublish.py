"""NodeUnpublishVolume: the volume gone from a pod's target path, and the path too (csi.md 1.8, failures.md K7)."""

from __future__ import annotations

import logging

from csi_driver.errors import Busy, Precondition
from csi_driver.host.doors import Mount
from csi_driver.model.ids import VolumeId
from csi_driver.node import look
from csi_driver.node.context import NodeContext, absolute
from csi_driver.node.requests import UnbindRequest

log = logging.getLogger(__name__)


async def unpublish(context: NodeContext, request: UnbindRequest) -> None:
    """Neither mount nor target path on return; fine when there was none.

    Precondition when another file system is mounted there, Busy while someone uses it.
    """
    target = absolute(request.target_path, "target_path")
    volume = VolumeId.parse(request.volume)
    if volume is None:
        # Nothing of that name was ever published (csi.md 1.1, ids in unknown form).
        return
    await context.jobs.run(str(volume), "NodeUnpublishVolume", target, lambda: _unpublish(context, volume, target))


async def _unpublish(context: NodeContext, volume: VolumeId, target: str) -> None:
    mounts = context.doors.mounts
    owned = [own.devno for own in await look.devices(context.doors.dm, volume)]
    while (mount := look.on_top(await mounts.table(), target)) is not None:
        if mount.devno not in owned and not await _is_bound_device(context, mount):
            raise Precondition(f"{target}: what is mounted there is not volume {volume}; it is left alone")
        try:
            await mounts.unmount(target)
        except Busy as error:
            raise Busy(f"volume {volume}: {target} is in use on this node: {error}") from error
    await mounts.remove(target)
    log.info("unpublished", extra={"volume": str(volume), "path": target})


async def _is_bound_device(context: NodeContext, mount: Mount) -> bool:
    """Whether it is a bind of a device node, whosever.

    Such a bind does not hold its device: after a fence the device may be gone, and its number be another's. To take
    the bind away harms nobody's data, to keep it would.
    """
    return look.is_bind_of_node(mount) and await context.doors.mounts.device_at(mount.target) is not None
