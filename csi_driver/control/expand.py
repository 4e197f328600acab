"""ControllerExpandVolume."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.lookup import find_volume
from csi_driver.control.requests import Expanded, ExpandVolume
from csi_driver.errors import InvalidRequest, NoCapacity, OutOfRange
from csi_driver.model.sizes import round_up, show
from csi_driver.model.volume import Limits, Volume


async def expand_volume(context: Context, request: ExpandVolume) -> Expanded:
    """The real size, grown to what is required; the node has to follow with its device and file system.

    A full pool is OutOfRange and not NoCapacity: only then may the user ask for less (csi.md 1.3, KEP-1790).
    Raises InvalidRequest, NotFound, OutOfRange, Unavailable.
    """
    checks.given(request.id, "volume_id")
    if request.limits is None:
        raise InvalidRequest("capacity_range is missing")
    limits = checks.limits(request.limits)
    if limits.required is None and limits.limit is None:
        raise InvalidRequest("capacity_range says neither required_bytes nor limit_bytes")
    if request.capability is not None:
        checks.capability(request.capability)
    volume = await find_volume(context, request.id)
    size = _target(context, volume, limits)
    try:
        # Also when the size is right already: an earlier try may have ended between the disk and the export.
        grown = await context.fleet.agent(volume.node).extend(volume.id, size)
    except NoCapacity as error:
        raise OutOfRange(str(error)) from error
    context.fleet.learn(grown)
    return Expanded(size=grown.size)


def _target(context: Context, volume: Volume, limits: Limits) -> int:
    """The size to have afterwards: extents of the volume's pool. Raises OutOfRange when it passes the limit."""
    pools = {pool.name: pool for pool in context.fleet.node(volume.node).pools}
    extent = pools[volume.pool].extent if volume.pool in pools else 1
    size = max(volume.size, round_up(limits.required or 0, extent))
    if limits.limit is not None and size > limits.limit:
        now = f"it has {show(volume.size)} and is never made smaller" if size == volume.size else "in whole extents"
        raise OutOfRange(f"volume {volume.id} would have {show(size)} ({now}): above the limit {show(limits.limit)}")
    return size
