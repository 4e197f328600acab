"""DeleteVolume."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_owner
from csi_driver.control.requests import DeleteVolume
from csi_driver.model.ids import VolumeId


async def delete_volume(context: Context, request: DeleteVolume) -> None:
    """The volume is gone on return, whether it was there or not.

    Raises Precondition while it is published, naming the node; Unavailable when it lies, or may lie, on a node that
    does not answer.
    """
    volume = VolumeId.parse(checks.given(request.id, "volume_id"))
    if volume is None:
        return
    owner = await find_owner(context, volume)
    if owner is None:
        return
    await context.fleet.agent(owner).delete(volume)
    context.fleet.forget(volume)
    context.reservations.forget(volume)
