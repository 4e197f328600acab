"""NodeUnstageVolume: everything that stages of the volume have left on this node goes (csi.md 1.8).

Works from the record of the stage, and without one from what is seen. It survives a target that is gone: then what
waits for it is let go with errors. A late call takes away only what its own publication has made.
"""

from __future__ import annotations

import logging

from csi_driver.model.ids import VolumeId
from csi_driver.node import look
from csi_driver.node.context import NodeContext, absolute
from csi_driver.node.requests import UnstageRequest
from csi_driver.node.teardown import Remains, take_down, unmount_staging

log = logging.getLogger(__name__)


async def unstage(context: NodeContext, request: UnstageRequest) -> None:
    """Nothing of the volume is left on this node on return; fine when nothing was.

    Precondition while it is published or when something else is mounted at the staging path, Busy while someone
    uses it, Unavailable while iscsid cannot log out.
    """
    path = absolute(request.staging_path, "staging_target_path")
    volume = VolumeId.parse(request.volume)
    if volume is None:
        # Nothing of that name was ever staged (csi.md 1.1, ids in unknown form).
        return
    await context.jobs.run(str(volume), "NodeUnstageVolume", path, lambda: _unstage(context, volume, path))


async def _unstage(context: NodeContext, volume: VolumeId, path: str) -> None:
    stage = context.stages.get(volume)
    if stage is None:
        await take_down(context, Remains(volume=volume, staging_path=path))
    elif stage.staging_path == path:
        await take_down(context, Remains(volume=volume, staging_path=path, upto=stage.number, stage=stage))
    else:
        # Staged elsewhere: that stands. Only a mount here, which no record tells of, is taken away.
        log.warning("unstage of a path that is not staged", extra={"volume": str(volume), "path": path})
        await unmount_staging(context, volume, path, await look.devices(context.doors.dm, volume))
