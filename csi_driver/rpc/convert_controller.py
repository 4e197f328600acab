"""CSI's controller messages as the controller's own requests, and its answers as messages.

Required fields are checked first, then what they hold, each error naming the field (csi.md 1.1, "Order of checks").
"""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import Int64Value

from csi_driver.control import requests
from csi_driver.errors import InvalidRequest
from csi_driver.model.ids import SnapshotId, SourceId, VolumeId
from csi_driver.rpc import convert_common as common
from csi_driver.rpc.gen import csi_pb2 as pb


def create_from(message: pb.CreateVolumeRequest) -> requests.CreateVolume:
    name = common.name_from(message.name)
    common.check_capabilities(message.volume_capabilities)
    source = _source_from(message.volume_content_source) if message.HasField("volume_content_source") else ""
    return requests.CreateVolume(
        name=name,
        capabilities=common.capabilities_from(message.volume_capabilities),
        limits=common.limits_from(message.capacity_range if message.HasField("capacity_range") else None),
        parameters=dict(message.parameters),
        mutable_parameters=dict(message.mutable_parameters),
        topology=common.topology_from(message.accessibility_requirements),
        source=source,
    )


def _source_from(message: pb.VolumeContentSource) -> str:
    """The id in a content source: a volume's or a snapshot's, as it says."""
    kind = message.WhichOneof("type")
    if kind == "snapshot":
        return _kept(common.required(message.snapshot.snapshot_id, "snapshot_id"), SnapshotId)
    if kind == "volume":
        return _kept(common.required(message.volume.volume_id, "volume_id"), VolumeId)
    raise InvalidRequest("volume_content_source: type is missing; set snapshot or volume")


def _kept(text: str, kind: type[VolumeId | SnapshotId]) -> str:
    """``text``, or what names nothing at all when it is not of its kind."""
    return text if kind.parse(text) is not None else f"?{text}"


def source_to(source: SourceId | None) -> pb.VolumeContentSource | None:
    if source is None:
        return None
    if isinstance(source, SnapshotId):
        snapshot = pb.VolumeContentSource.SnapshotSource(snapshot_id=str(source))
        return pb.VolumeContentSource(snapshot=snapshot)
    return pb.VolumeContentSource(volume=pb.VolumeContentSource.VolumeSource(volume_id=str(source)))


def delete_from(message: pb.DeleteVolumeRequest) -> requests.DeleteVolume:
    return requests.DeleteVolume(id=common.required(message.volume_id, "volume_id"))


def publish_from(message: pb.ControllerPublishVolumeRequest) -> requests.PublishVolume:
    return requests.PublishVolume(
        id=common.required(message.volume_id, "volume_id"),
        node=common.required(message.node_id, "node_id"),
        capability=common.required_capability(
            message.volume_capability if message.HasField("volume_capability") else None
        ),
        readonly=message.readonly,
        context=dict(message.volume_context),
    )


def published_to(published: requests.Published) -> pb.ControllerPublishVolumeResponse:
    return pb.ControllerPublishVolumeResponse(publish_context=published.context.to_map())


def unpublish_from(message: pb.ControllerUnpublishVolumeRequest) -> requests.UnpublishVolume:
    return requests.UnpublishVolume(id=common.required(message.volume_id, "volume_id"), node=message.node_id)


def validate_from(message: pb.ValidateVolumeCapabilitiesRequest) -> requests.ValidateCapabilities:
    """InvalidRequest also when a capability asks for what we do not know: see ``check_validate``."""
    check_validate(message)
    return requests.ValidateCapabilities(
        id=message.volume_id,
        capabilities=common.capabilities_from(message.volume_capabilities),
        context=dict(message.volume_context),
        parameters=dict(message.parameters),
        mutable_parameters=dict(message.mutable_parameters),
    )


def check_validate(message: pb.ValidateVolumeCapabilitiesRequest) -> None:
    """Raise InvalidRequest when a required field is missing, and only then."""
    common.required(message.volume_id, "volume_id")
    common.check_capabilities(message.volume_capabilities)


def validated_to(
    validated: requests.Validated, asked: pb.ValidateVolumeCapabilitiesRequest
) -> pb.ValidateVolumeCapabilitiesResponse:
    """All that was asked, repeated, when all of it is confirmed; else the reason alone."""
    if not validated.confirmed:
        return pb.ValidateVolumeCapabilitiesResponse(message=validated.message)
    confirmed = pb.ValidateVolumeCapabilitiesResponse.Confirmed(
        volume_context=asked.volume_context,
        volume_capabilities=asked.volume_capabilities,
        parameters=asked.parameters,
        mutable_parameters=asked.mutable_parameters,
    )
    return pb.ValidateVolumeCapabilitiesResponse(confirmed=confirmed, message=validated.message)


def expand_from(message: pb.ControllerExpandVolumeRequest) -> requests.ExpandVolume:
    identity = common.required(message.volume_id, "volume_id")
    limits = common.required_limits(message.capacity_range if message.HasField("capacity_range") else None)
    capability = message.volume_capability if message.HasField("volume_capability") else None
    return requests.ExpandVolume(
        id=identity,
        limits=limits,
        capability=None if capability is None else common.capability_from(capability),
    )


def expanded_to(expanded: requests.Expanded) -> pb.ControllerExpandVolumeResponse:
    return pb.ControllerExpandVolumeResponse(
        capacity_bytes=expanded.size, node_expansion_required=expanded.node_expansion_required
    )


def list_from(message: pb.ListVolumesRequest) -> requests.ListVolumes:
    if message.max_entries < 0:
        raise InvalidRequest("max_entries must not be negative")
    return requests.ListVolumes(maximum=message.max_entries, token=message.starting_token)


def page_to(page: requests.VolumePage) -> pb.ListVolumesResponse:
    return pb.ListVolumesResponse(
        entries=(
            pb.ListVolumesResponse.Entry(
                volume=volume_to(view),
                status=pb.ListVolumesResponse.VolumeStatus(published_node_ids=view.published),
            )
            for view in page.volumes
        ),
        next_token=page.token,
    )


def get_from(message: pb.ControllerGetVolumeRequest) -> requests.GetVolume:
    return requests.GetVolume(id=common.required(message.volume_id, "volume_id"))


def got_to(view: requests.VolumeView) -> pb.ControllerGetVolumeResponse:
    status = pb.ControllerGetVolumeResponse.VolumeStatus(published_node_ids=view.published)
    return pb.ControllerGetVolumeResponse(volume=volume_to(view), status=status)


def capacity_from(message: pb.GetCapacityRequest) -> requests.GetCapacity:
    return requests.GetCapacity(
        capabilities=common.capabilities_from(message.volume_capabilities),
        parameters=dict(message.parameters),
        segment=(common.segment_from(message.accessible_topology) if message.HasField("accessible_topology") else None),
    )


def capacity_to(view: requests.CapacityView) -> pb.GetCapacityResponse:
    return pb.GetCapacityResponse(available_capacity=view.available, maximum_volume_size=Int64Value(value=view.maximum))


def volume_to(view: requests.VolumeView) -> pb.Volume:
    return pb.Volume(
        capacity_bytes=view.size,
        volume_id=view.id,
        volume_context=view.context,
        accessible_topology=map(common.segment_to, view.topology),
        content_source=source_to(view.source),
    )
