"""What the node plugin does when its process starts: almost nothing, as mounts and sessions live on without it."""

from __future__ import annotations

import logging

from csi_driver.errors import DriverError
from csi_driver.host.doors import Dm, DmDevice
from csi_driver.model.ids import DM_UUID_PREFIX
from csi_driver.node.context import NodeContext

log = logging.getLogger(__name__)

CONSUMER = "-iscsi"
"""How the dm uuid of a consumer's wrapper ends (``VolumeId.consumer_uuid``)."""


async def start(context: NodeContext) -> None:
    """Let go every wrapper of this node that an earlier process left held: I/O to it would wait for ever.

    Nothing else is touched. What was begun and not finished is found again by the verb that is repeated.
    """
    for device in await context.doors.dm.devices():
        if _is_held(device):
            await _let_go(context.doors.dm, device)


def _is_held(device: DmDevice) -> bool:
    ours = device.uuid.startswith(DM_UUID_PREFIX) and device.uuid.endswith(CONSUMER)
    return ours and device.suspended and device.has_table


async def _let_go(dm: Dm, device: DmDevice) -> None:
    try:
        await dm.resume(device.name)
    except DriverError as error:
        # One volume's trouble must not keep the plugin of the whole node from starting.
        log.exception("wrapper stays held", extra={"device": device.name, "error": str(error)})
    else:
        log.warning("wrapper was held and is let go", extra={"device": device.name})
