"""CreateSnapshot."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.requests import CreateSnapshot, SnapshotView
from csi_driver.control.snapshots import look, show_snapshot
from csi_driver.errors import Busy, Incompatible
from csi_driver.model.ids import SnapshotId, VolumeId, volume_key
from csi_driver.model.parameters import parse_snapshot
from csi_driver.model.snapshot import Snapshot, SnapshotSpec


async def create_snapshot(context: Context, request: CreateSnapshot) -> SnapshotView:
    """The one snapshot of this name, cut if it was not there. Its source may be gone by then: what was cut counts.

    Raises InvalidRequest (also for a thick volume), NotFound for the source, Incompatible when the name belongs to
    a snapshot of another volume, NoCapacity; Busy, StillWorking or Unavailable while it cannot be told.
    """
    name = checks.name(request.name)
    checks.given(request.source, "source_volume_id")
    checks.small_map(request.parameters, "parameters")
    parameters = parse_snapshot(request.parameters)
    key = volume_key(name)
    if key in context.cutting:
        raise Busy(f"the snapshot {name!r} is being cut; ask again")
    context.cutting.add(key)
    try:
        there = await _standing(context, request, key)
        if there is not None:
            return show_snapshot(there)
        source = await find_volume(context, request.source)
        spec = SnapshotSpec(
            id=SnapshotId(key, context.draw_copy()),
            name=name,
            source=source.id,
            object_namespace=parameters.object_namespace,
            object_name=parameters.object_name,
        )
        cut = await context.fleet.agent(source.node).cut(spec)
        context.fleet.learn_snapshot(cut)
        return show_snapshot(cut)
    finally:
        context.cutting.discard(key)


async def _standing(context: Context, request: CreateSnapshot, key: str) -> Snapshot | None:
    """The snapshot that has the name already, on whatever node."""
    for each in (await look(context, key)).found:
        if each.source != VolumeId.parse(request.source):
            raise Incompatible(f"snapshot {each.id} has the name {request.name!r} already, but of volume {each.source}")
        context.fleet.learn_snapshot(each)
        return each
    return None
