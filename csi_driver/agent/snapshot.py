"""Snapshots: cut, found, deleted. Thin ones only, in their volume's own pool, at once (DESIGN 5)."""

from __future__ import annotations

import logging

from csi_driver.agent import quiesce, tags
from csi_driver.agent.context import RECENT, AgentContext, Found
from csi_driver.agent.cut import cut
from csi_driver.agent.pools import describe, snapshot_room
from csi_driver.errors import Busy, Incompatible, InvalidRequest, NoCapacity, NotFound, Precondition
from csi_driver.host.doors import LogicalVolume
from csi_driver.model.ids import SnapshotId
from csi_driver.model.sizes import show
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Content, Layout

log = logging.getLogger(__name__)


async def snapshot(context: AgentContext, spec: SnapshotSpec) -> Snapshot:
    """The snapshot of this name, cut if it was not there. See ``AgentPort.cut``."""
    if (there := await _standing(context, spec)) is not None:
        return there
    found = await _source(context, spec)
    await quiesce.write_out(context, spec.source)
    async with context.locks[found.group.name]:
        if (there := await _standing(context, spec)) is not None:
            return there
        found = await _source(context, spec)
        _check_room(context, found)
        created = int(context.doors.host.now())
        marks = tags.of_snapshot(spec, found.volume, cluster=context.cluster, created=created)
        await cut(context, found.group, found.lv, str(spec.id), marks)
    made = _made(spec, found, created)
    log.info("snapshot cut", extra={"snapshot": str(spec.id), "volume": str(spec.source)})
    context.picture.put_snapshot(made)
    return made


def _made(spec: SnapshotSpec, found: Found, created: int) -> Snapshot:
    """As its tags tell it, without another look at LVM."""
    volume = found.volume
    return Snapshot(
        id=spec.id,
        name=spec.name,
        source=spec.source,
        object_namespace=spec.object_namespace,
        object_name=spec.object_name,
        node=volume.node,
        vg=volume.vg,
        pool=volume.pool,
        size=found.lv.size,
        fs=volume.fs,
        created=created,
    )


async def find_snapshots(context: AgentContext, key: str) -> tuple[Snapshot, ...]:
    """Every snapshot whose name has this key: one at most, if callers do not quarrel over a name."""
    return tuple(each for each in await _all(context) if each.id.key == key)


async def get_snapshot(context: AgentContext, snapshot: SnapshotId) -> Snapshot:
    """The snapshot of that id. NotFound when this node has none."""
    for each in await _all(context):
        if each.id == snapshot:
            return each
    raise NotFound(f"node {context.node} has no snapshot {snapshot}")


async def delete_snapshot(context: AgentContext, snapshot: SnapshotId) -> None:
    """The snapshot is gone on return; fine when it was. What was made from it stays as it is."""
    async for seen in context.read_groups(within=RECENT):
        if seen.volume(str(snapshot)) is not None:
            async with context.locks[seen.name]:
                lv = (await context.doors.lvm.group(seen.name)).volume(str(snapshot))
                if lv is not None:
                    await _remove(context, lv)
    context.picture.drop_snapshot(snapshot)


async def _remove(context: AgentContext, lv: LogicalVolume) -> None:
    if tags.snapshot(lv, node=context.node, cluster=context.cluster) is None:
        raise Precondition(
            f"logical volume {lv.vg}/{lv.name} on node {context.node} has the name of a snapshot of ours but not its "
            f"tags (cluster {context.cluster!r}): it is left alone"
        )
    try:
        await context.doors.lvm.remove(lv.name, vg=lv.vg)
    except Busy as error:
        raise Precondition(f"snapshot {lv.name} is open on node {context.node}: {error}") from error
    log.info("snapshot deleted", extra={"snapshot": lv.name})


async def _standing(context: AgentContext, spec: SnapshotSpec) -> Snapshot | None:
    for each in await find_snapshots(context, spec.id.key):
        if each.source != spec.source:
            raise Incompatible(f"snapshot {each.id} has the name {spec.name!r} already, but of volume {each.source}")
        context.picture.put_snapshot(each)
        return each
    return None


async def _source(context: AgentContext, spec: SnapshotSpec) -> Found:
    found = await context.look(spec.source, within=RECENT)
    if found is None or found.volume.content is Content.CLAIMED:
        raise NotFound(f"node {context.node} has no volume {spec.source}")
    if found.volume.content is not Content.READY:
        raise Precondition(f"volume {spec.source} is {found.volume.content.value}: it has nothing to keep yet")
    if found.volume.layout is not Layout.THIN:
        raise InvalidRequest(
            f"volume {spec.source} is {found.volume.layout.value}: only thin volumes have snapshots (layout: thin)"
        )
    return found


def _check_room(context: AgentContext, found: Found) -> None:
    """A snapshot takes its share of what the pool may promise, as volumes do (``PoolSettings.snapshot_share``)."""
    try:
        settings = context.pool(found.volume.pool)
    except NotFound as error:
        raise NoCapacity(f"volume {found.volume.id} lies in a pool that is not offered any more: {error}") from error
    pool = describe(settings, found.group, context.node)
    where = f"pool {pool.name} on node {context.node}"
    if pool.problem:
        raise NoCapacity(f"{where}: {pool.problem}")
    needed, free = snapshot_room(settings, found.lv.size), pool.thin_free or 0
    if free < needed:
        raise NoCapacity(f"{where} has {show(free)} left; a snapshot of volume {found.volume.id} takes {show(needed)}")


async def _all(context: AgentContext) -> list[Snapshot]:
    found = []
    async for group in context.read_groups(within=RECENT):
        for lv in group.volumes:
            each = tags.snapshot(lv, node=context.node, cluster=context.cluster)
            if each is not None:
                found.append(each)
    return found
