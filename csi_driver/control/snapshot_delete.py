"""DeleteSnapshot."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.requests import DeleteSnapshot
from csi_driver.control.snapshots import find_owner
from csi_driver.model.ids import SnapshotId


async def delete_snapshot(context: Context, request: DeleteSnapshot) -> None:
    """The snapshot is gone on return, whether it was there or not; what was made from it stays.

    Raises Unavailable when it lies, or may lie, on a node that does not answer.
    """
    identity = SnapshotId.parse(checks.given(request.id, "snapshot_id"))
    if identity is None:
        return
    owner = await find_owner(context, identity)
    if owner is None:
        return
    await context.fleet.agent(owner).delete_snapshot(identity)
    context.fleet.forget_snapshot(identity)
