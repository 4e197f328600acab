"""The inventory stream as messages of the Agent service, and back; the rules are ``agent_convert``'s."""

from __future__ import annotations

from csi_driver.model.access import AccessMode
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool, WhenFull
from csi_driver.model.publication import Transport
from csi_driver.rpc.agent_convert import (
    enum_from,
    id_from,
    snapshot_from,
    snapshot_id_from,
    snapshot_to,
    volume_from,
    volume_to,
)
from csi_driver.rpc.gen import agent_pb2 as pb


def info_to(info: AgentInfo) -> pb.AgentInfo:
    return pb.AgentInfo(
        node=info.node,
        boot_id=info.boot_id,
        initiator=info.initiator,
        portals=info.portals,
        segments=info.segments,
        api_major=info.api_version[0],
        api_minor=info.api_version[1],
        driver_version=info.driver_version,
        max_volumes=info.max_volumes,
    )


def info_from(message: pb.AgentInfo) -> AgentInfo:
    return AgentInfo(
        node=message.node,
        boot_id=message.boot_id,
        initiator=message.initiator,
        portals=tuple(message.portals),
        segments=dict(message.segments),
        api_version=(message.api_major, message.api_minor),
        driver_version=message.driver_version,
        max_volumes=message.max_volumes,
    )


def pool_to(pool: Pool) -> pb.Pool:
    return pb.Pool(
        node=pool.node,
        name=pool.name,
        vg=pool.vg,
        extent=pool.extent,
        thin_free=pool.thin_free,
        thick_free=pool.thick_free,
        thin_size=pool.thin_size,
        thin_used=pool.thin_used,
        thin_allocated=pool.thin_allocated,
        metadata_size=pool.metadata_size,
        metadata_used=pool.metadata_used,
        problem=pool.problem,
        labels=pool.labels,
        thin_layout=pool.thin_layout,
        when_full=pool.when_full.value if pool.when_full else "",
        group_size=pool.group_size,
        group_free=pool.group_free,
        group_metadata_size=pool.group_metadata_size,
        group_metadata_free=pool.group_metadata_free,
        overcommit=pool.overcommit,
        reserve=pool.reserve,
        snapshot_share=pool.snapshot_share,
        warnings=pool.warnings,
        striped_free=pool.striped_free,
        raid1_free=pool.raid1_free,
        raid10_free=pool.raid10_free,
        stripes=pool.stripes,
    )


def pool_from(message: pb.Pool) -> Pool:
    return Pool(
        node=message.node,
        name=message.name,
        vg=message.vg,
        extent=message.extent,
        thin_free=message.thin_free if message.HasField("thin_free") else None,
        thick_free=message.thick_free if message.HasField("thick_free") else None,
        thin_size=message.thin_size,
        thin_used=message.thin_used,
        thin_allocated=message.thin_allocated,
        metadata_size=message.metadata_size,
        metadata_used=message.metadata_used,
        problem=message.problem,
        labels=dict(message.labels),
        thin_layout=message.thin_layout,
        when_full=enum_from(WhenFull, message.when_full) if message.when_full else None,
        group_size=message.group_size,
        group_free=message.group_free,
        group_metadata_size=message.group_metadata_size,
        group_metadata_free=message.group_metadata_free,
        overcommit=message.overcommit,
        reserve=message.reserve,
        snapshot_share=message.snapshot_share,
        warnings=tuple(message.warnings),
        striped_free=message.striped_free if message.HasField("striped_free") else None,
        raid1_free=message.raid1_free if message.HasField("raid1_free") else None,
        raid10_free=message.raid10_free if message.HasField("raid10_free") else None,
        # An agent of an older version makes no such volumes.
        stripes=message.stripes or 1,
    )


def ref_to(ref: PublicationRef) -> pb.PublicationRef:
    return pb.PublicationRef(
        id=str(ref.volume),
        node=ref.node,
        number=ref.number,
        transport=ref.transport.value,
        mode=ref.mode.value,
        readonly=ref.readonly,
    )


def ref_from(message: pb.PublicationRef) -> PublicationRef:
    return PublicationRef(
        volume=id_from(message.id),
        node=message.node,
        number=message.number,
        transport=enum_from(Transport, message.transport),
        mode=enum_from(AccessMode, message.mode),
        readonly=message.readonly,
    )


def change_to(change: Change) -> pb.Change:
    pools = None if change.pools is None else pb.Pools(pools=map(pool_to, change.pools))
    wanted = None if change.wanted is None else pb.Wanted(ids=map(str, change.wanted))
    held = None
    if change.held is not None:
        held = pb.Held(publications=(pb.ReleaseRequest(id=str(each), number=number) for each, number in change.held))
    return pb.Change(
        full=change.full,
        info=info_to(change.info) if change.info else None,
        pools=pools,
        volumes=map(volume_to, change.volumes),
        volumes_gone=map(str, change.volumes_gone),
        snapshots=map(snapshot_to, change.snapshots),
        snapshots_gone=map(str, change.snapshots_gone),
        publications=map(ref_to, change.publications),
        publications_gone=(pb.UnpublishRequest(id=str(volume), node=node) for volume, node in change.publications_gone),
        wanted=wanted,
        held=held,
    )


def change_from(message: pb.Change) -> Change:
    return Change(
        full=message.full,
        info=info_from(message.info) if message.HasField("info") else None,
        pools=tuple(map(pool_from, message.pools.pools)) if message.HasField("pools") else None,
        volumes=tuple(map(volume_from, message.volumes)),
        volumes_gone=tuple(map(id_from, message.volumes_gone)),
        snapshots=tuple(map(snapshot_from, message.snapshots)),
        snapshots_gone=tuple(map(snapshot_id_from, message.snapshots_gone)),
        publications=tuple(map(ref_from, message.publications)),
        publications_gone=tuple((id_from(gone.id), gone.node) for gone in message.publications_gone),
        wanted=tuple(map(id_from, message.wanted.ids)) if message.HasField("wanted") else None,
        held=tuple((id_from(each.id), each.number) for each in message.held.publications)
        if message.HasField("held")
        else None,
    )
