"""ListSnapshots and GetSnapshot."""

from __future__ import annotations

from csi_driver.control import checks
from csi_driver.control.context import Context
from csi_driver.control.requests import GetSnapshot, ListSnapshots, SnapshotPage, SnapshotView
from csi_driver.control.snapshots import find_snapshot, search, show_snapshot
from csi_driver.errors import BadToken, InvalidRequest
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.snapshot import Snapshot


async def list_snapshots(context: Context, request: ListSnapshots) -> SnapshotPage:
    """One page, in the order of ids. Pages go on after an id, so that what comes and goes between them does no harm.

    Of a silent node it shows what was last heard; but one snapshot asked for by its id is asked of everyone before it
    is said not to be there. Raises InvalidRequest, BadToken, and Unavailable for such a one.
    """
    if request.maximum < 0:
        raise InvalidRequest(f"max_entries is {request.maximum}: it cannot be negative")
    after = _read(request.token)
    fitting = {each.id: each for each in await _candidates(context, request) if _fits(each, request)}
    left = sorted(identity for identity in fitting if after is None or identity > after)
    page = left[: request.maximum] if request.maximum else left
    return SnapshotPage(
        snapshots=tuple(show_snapshot(fitting[identity]) for identity in page),
        token=str(page[-1]) if len(page) < len(left) else "",
    )


async def get_snapshot(context: Context, request: GetSnapshot) -> SnapshotView:
    """The snapshot. Raises InvalidRequest, NotFound, Unavailable."""
    checks.given(request.id, "snapshot_id")
    return show_snapshot(await find_snapshot(context, request.id))


async def _candidates(context: Context, request: ListSnapshots) -> tuple[Snapshot, ...]:
    known = tuple(each for state in context.fleet.nodes() for each in state.snapshots.values())
    if not request.id:
        return known
    identity = SnapshotId.parse(request.id)
    if identity is None:
        return ()
    if context.fleet.locate_snapshot(identity) is not None:
        return known
    found = await search(context, identity)
    return (found,) if found is not None else ()


def _fits(snapshot: Snapshot, request: ListSnapshots) -> bool:
    if request.id and str(snapshot.id) != request.id:
        return False
    return not request.source or snapshot.source == VolumeId.parse(request.source)


def _read(token: str) -> SnapshotId | None:
    after = SnapshotId.parse(token)
    if token and after is None:
        raise BadToken("starting_token was not given out by this driver: start again without one")
    return after
