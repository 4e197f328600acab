"""What the controller is asked and what it answers, free of protobuf. ``rpc`` converts; empty text means not given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_driver.model.access import Capability
from csi_driver.model.ids import SourceId
from csi_driver.model.publication import PublishContext
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeView:
    """A volume as CSI shows it: ``Volume`` plus, where asked for, the nodes it is published to."""

    id: str
    size: int
    """Bytes, the real ones."""
    context: Mapping[str, str] = field(default_factory=dict)
    """CSI ``volume_context``; never a secret."""
    topology: tuple[Segment, ...] = ()
    """CSI ``accessible_topology``; empty: usable from everywhere."""
    published: tuple[str, ...] = ()
    """CSI ``published_node_ids``, sorted."""
    source: SourceId | None = None
    """CSI ``content_source``: the snapshot or volume that it was made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateVolume:
    """CSI ``CreateVolumeRequest``. The answer is a VolumeView."""

    name: str
    capabilities: tuple[Capability, ...]
    limits: Limits = Limits()
    parameters: Mapping[str, str] = field(default_factory=dict)
    mutable_parameters: Mapping[str, str] = field(default_factory=dict)
    topology: Topology = Topology()
    source: str = ""
    """Id of the snapshot or volume that it is made from; of unknown form it names nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteVolume:
    """CSI ``DeleteVolumeRequest``; no answer."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishVolume:
    """CSI ``ControllerPublishVolumeRequest``; ``capability`` is None when the field is missing."""

    id: str
    node: str
    capability: Capability | None
    readonly: bool = False
    context: Mapping[str, str] = field(default_factory=dict)
    """CSI ``volume_context``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """CSI ``ControllerPublishVolumeResponse``: ``context.to_map()`` is its ``publish_context``."""

    context: PublishContext


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpublishVolume:
    """CSI ``ControllerUnpublishVolumeRequest``; an empty ``node`` means from all nodes. No answer."""

    id: str
    node: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidateCapabilities:
    """CSI ``ValidateVolumeCapabilitiesRequest``."""

    id: str
    capabilities: tuple[Capability, ...]
    context: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    mutable_parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validated:
    """CSI ``ValidateVolumeCapabilitiesResponse``: when ``confirmed``, all that was given is repeated there;
    else ``message`` says what is not supported.
    """

    confirmed: bool
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandVolume:
    """CSI ``ControllerExpandVolumeRequest``; ``limits`` is None when the field is missing."""

    id: str
    limits: Limits | None
    capability: Capability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """CSI ``ControllerExpandVolumeResponse``; ``size`` is bytes."""

    size: int
    node_expansion_required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ListVolumes:
    """CSI ``ListVolumesRequest``; ``maximum`` 0: all."""

    maximum: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumePage:
    """CSI ``ListVolumesResponse``; an empty ``token`` says that this is the last page."""

    volumes: tuple[VolumeView, ...]
    token: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GetVolume:
    """CSI ``ControllerGetVolumeRequest``. The answer is a VolumeView."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetCapacity:
    """CSI ``GetCapacityRequest``; ``segment`` is None when it asks about the whole cluster."""

    capabilities: tuple[Capability, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    segment: Segment | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityView:
    """CSI ``GetCapacityResponse``, bytes: the segment's own room, and the largest create granted from there."""

    available: int
    maximum: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotView:
    """A snapshot as CSI shows it; ready to use from the first moment."""

    id: str
    source: str
    """Id of the volume that was cut, which may be gone."""
    size: int
    """Bytes: what a volume made from it has at least."""
    created: int
    """Unix seconds of the cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateSnapshot:
    """CSI ``CreateSnapshotRequest``. The answer is a SnapshotView."""

    name: str
    source: str
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteSnapshot:
    """CSI ``DeleteSnapshotRequest``; no answer."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GetSnapshot:
    """CSI ``GetSnapshotRequest``. The answer is a SnapshotView."""

    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSnapshots:
    """CSI ``ListSnapshotsRequest``; ``maximum`` 0: all; the filters, where given, all hold."""

    maximum: int = 0
    token: str = ""
    id: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPage:
    """CSI ``ListSnapshotsResponse``; an empty ``token`` says that this is the last page."""

    snapshots: tuple[SnapshotView, ...]
    token: str = ""
