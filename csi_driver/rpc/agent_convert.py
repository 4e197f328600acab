"""The model as messages of the Agent service, and back.

Each ``*_to`` is undone by its ``*_from``. A message that the model cannot hold raises InvalidRequest, whoever sent it:
a controller's mistake on the server's side; on the client's side an agent of another version, see ``agent_client``.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import AccessMode, AccessType, FsType
from csi_driver.model.ids import SnapshotId, SourceId, VolumeId, parse_source
from csi_driver.model.publication import Attachment, Publication, PublishRequest, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec, Wipe, WriteCache
from csi_driver.rpc.gen import agent_pb2 as pb

E = TypeVar("E", bound=Enum)


def id_from(text: str) -> VolumeId:
    """The volume id that ``text`` spells."""
    parsed = VolumeId.parse(text)
    if parsed is None:
        raise InvalidRequest(f"{text!r} is not the id of a volume")
    return parsed


def snapshot_id_from(text: str) -> SnapshotId:
    """The snapshot id that ``text`` spells."""
    parsed = SnapshotId.parse(text)
    if parsed is None:
        raise InvalidRequest(f"{text!r} is not the id of a snapshot")
    return parsed


def source_from(text: str) -> SourceId | None:
    """The snapshot or volume that ``text`` names; None for an empty one."""
    parsed = parse_source(text)
    if text and parsed is None:
        raise InvalidRequest(f"{text!r} is neither the id of a volume nor of a snapshot")
    return parsed


def enum_from(cls: type[E], value: str | int) -> E:
    """The member of ``cls`` with that value."""
    try:
        return cls(value)
    except ValueError as error:
        raise InvalidRequest(f"{value!r} is no {cls.__name__} known to this version") from error


def fs_from(text: str) -> FsType | None:
    """The file system of that name; None for an empty one."""
    return enum_from(FsType, text) if text else None


def spec_to(spec: VolumeSpec) -> pb.VolumeSpec:
    return pb.VolumeSpec(
        id=str(spec.id),
        name=spec.name,
        size=spec.size,
        pool=spec.pool,
        layout=spec.layout.value,
        fs=spec.fs.value if spec.fs else "",
        mkfs_options=spec.mkfs_options,
        write_cache=spec.write_cache.value,
        params_hash=spec.params_hash,
        pvc_namespace=spec.pvc_namespace,
        pvc_name=spec.pvc_name,
        wipe=spec.wipe.value,
        source=str(spec.source) if spec.source else "",
    )


def spec_from(message: pb.VolumeSpec) -> VolumeSpec:
    return VolumeSpec(
        id=id_from(message.id),
        name=message.name,
        size=message.size,
        pool=message.pool,
        layout=enum_from(Layout, message.layout),
        fs=fs_from(message.fs),
        mkfs_options=tuple(message.mkfs_options),
        write_cache=enum_from(WriteCache, message.write_cache),
        params_hash=message.params_hash,
        pvc_namespace=message.pvc_namespace,
        pvc_name=message.pvc_name,
        # A controller of an older version does not say.
        wipe=enum_from(Wipe, message.wipe) if message.wipe else Wipe.CREATE,
        source=source_from(message.source),
    )


def volume_to(volume: Volume) -> pb.Volume:
    return pb.Volume(
        spec=spec_to(volume),
        node=volume.node,
        vg=volume.vg,
        content=volume.content.value,
        formatted=volume.formatted,
        created=volume.created,
        condition=volume.condition,
    )


def volume_from(message: pb.Volume) -> Volume:
    spec = spec_from(message.spec)
    return Volume(
        id=spec.id,
        name=spec.name,
        size=spec.size,
        pool=spec.pool,
        layout=spec.layout,
        fs=spec.fs,
        mkfs_options=spec.mkfs_options,
        write_cache=spec.write_cache,
        params_hash=spec.params_hash,
        pvc_namespace=spec.pvc_namespace,
        pvc_name=spec.pvc_name,
        wipe=spec.wipe,
        source=spec.source,
        node=message.node,
        vg=message.vg,
        content=enum_from(Content, message.content),
        formatted=message.formatted,
        created=message.created,
        condition=message.condition,
    )


def cut_to(spec: SnapshotSpec) -> pb.SnapshotSpec:
    return pb.SnapshotSpec(
        id=str(spec.id),
        name=spec.name,
        source=str(spec.source),
        object_namespace=spec.object_namespace,
        object_name=spec.object_name,
    )


def cut_from(message: pb.SnapshotSpec) -> SnapshotSpec:
    return SnapshotSpec(
        id=snapshot_id_from(message.id),
        name=message.name,
        source=id_from(message.source),
        object_namespace=message.object_namespace,
        object_name=message.object_name,
    )


def snapshot_to(snapshot: Snapshot) -> pb.Snapshot:
    return pb.Snapshot(
        spec=cut_to(snapshot),
        node=snapshot.node,
        vg=snapshot.vg,
        pool=snapshot.pool,
        size=snapshot.size,
        fs=snapshot.fs.value if snapshot.fs else "",
        created=snapshot.created,
    )


def snapshot_from(message: pb.Snapshot) -> Snapshot:
    spec = cut_from(message.spec)
    return Snapshot(
        id=spec.id,
        name=spec.name,
        source=spec.source,
        object_namespace=spec.object_namespace,
        object_name=spec.object_name,
        node=message.node,
        vg=message.vg,
        pool=message.pool,
        size=message.size,
        fs=fs_from(message.fs),
        created=message.created,
    )


def order_to(request: PublishRequest) -> pb.PublishRequest:
    return pb.PublishRequest(
        id=str(request.volume),
        node=request.node,
        transport=request.transport.value,
        mode=request.mode.value,
        access=request.access.value,
        readonly=request.readonly,
        initiator=request.initiator,
        new_secret=request.new_secret,
    )


def order_from(message: pb.PublishRequest) -> PublishRequest:
    return PublishRequest(
        volume=id_from(message.id),
        node=message.node,
        transport=enum_from(Transport, message.transport),
        mode=enum_from(AccessMode, message.mode),
        access=enum_from(AccessType, message.access),
        readonly=message.readonly,
        initiator=message.initiator,
        new_secret=message.new_secret,
    )


def publication_to(publication: Publication) -> pb.Publication:
    return pb.Publication(
        request=order_to(publication.request),
        number=publication.number,
        portals=publication.portals,
        chap_user=publication.chap_user,
        secret=publication.secret.reveal() if publication.secret else "",
        fs=publication.fs.value if publication.fs else "",
        size=publication.size,
    )


def publication_from(message: pb.Publication) -> Publication:
    return Publication(
        request=order_from(message.request),
        number=message.number,
        portals=tuple(message.portals),
        chap_user=message.chap_user,
        secret=Secret(message.secret) if message.secret else None,
        fs=fs_from(message.fs),
        size=message.size,
    )


def attachment_to(attachment: Attachment) -> pb.Attachment:
    return pb.Attachment(
        id=str(attachment.volume),
        number=attachment.number,
        portals=attachment.portals,
        chap_user=attachment.chap_user,
        secret=attachment.secret.reveal(),
    )


def attachment_from(message: pb.Attachment) -> Attachment:
    return Attachment(
        volume=id_from(message.id),
        number=message.number,
        portals=tuple(message.portals),
        chap_user=message.chap_user,
        secret=Secret(message.secret),
    )
