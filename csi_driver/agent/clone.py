"""A volume that begins with the content of a snapshot or of another volume of its pool: restore and clone, at once."""

from __future__ import annotations

import logging

from csi_driver.agent import quiesce, tags
from csi_driver.agent.context import AgentContext
from csi_driver.agent.cut import cut
from csi_driver.errors import InvalidRequest, NotFound, OutOfRange, Precondition
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.ids import SourceId, VolumeId
from csi_driver.model.sizes import show
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec

log = logging.getLogger(__name__)


async def prepare(context: AgentContext, spec: VolumeSpec) -> None:
    """What takes long of a clone, before the group is locked."""
    if isinstance(spec.source, VolumeId):
        await quiesce.write_out(context, spec.source)


async def make(
    context: AgentContext, spec: VolumeSpec, source: SourceId, *, group: VolumeGroup, size: int, marks: frozenset[str]
) -> None:
    """The claim of ``size`` bytes, with the content of its source. The caller holds the group's lock.

    NotFound when the source is not in this pool, InvalidRequest when it is of another kind, OutOfRange when it is
    larger.
    """
    origin, whole = _origin(context, group, source)
    if whole.pool != spec.pool:
        raise NotFound(f"{source} lies in pool {whole.pool} of node {context.node}, not in {spec.pool}")
    if spec.layout is not Layout.THIN or origin.layout != "thin":
        raise InvalidRequest(f"{source} is {origin.layout}: only a thin volume can be made from a thin one")
    if whole.fs is not spec.fs:
        raise InvalidRequest(f"{source} holds {whole.fs or 'no file system'}, not {spec.fs or 'none'}")
    if size < origin.size:
        raise OutOfRange(f"{source} has {show(origin.size)}: a volume made from it cannot have {show(size)}")
    await cut(context, group, origin, str(spec.id), marks)
    await grow(context, str(spec.id), group=group, now=origin.size, size=size)
    log.info("volume made from another", extra={"volume": str(spec.id), "source": str(source)})


async def grow(context: AgentContext, name: str, *, group: VolumeGroup, now: int, size: int) -> None:
    """The rest of its size: a claim that is not active grows in LVM's metadata alone."""
    if now < size:
        await context.doors.lvm.extend(name, vg=group.name, size=size, metadata_only=True)


def _origin(context: AgentContext, group: VolumeGroup, source: SourceId) -> tuple[LogicalVolume, Volume | Snapshot]:
    lv = group.volume(str(source))
    if lv is None:
        raise NotFound(f"node {context.node} has no {source} in volume group {group.name}")
    if isinstance(source, VolumeId):
        volume = context.prove(group, lv).volume
        if volume.content is Content.CLAIMED:
            raise NotFound(f"node {context.node} has no {source}")
        if volume.content is not Content.READY:
            raise Precondition(f"volume {source} is {volume.content.value}: it cannot be cloned yet")
        return lv, volume
    snapshot = tags.snapshot(lv, node=context.node, cluster=context.cluster)
    if snapshot is None:
        raise Precondition(f"{group.name}/{lv.name} has the name of a snapshot of ours but not its tags")
    return lv, snapshot
