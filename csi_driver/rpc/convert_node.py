"""CSI's node messages as the node plugin's own requests, and its answers as messages; rules as in
``convert_controller``.
"""

from __future__ import annotations

from csi_driver.node import requests
from csi_driver.rpc import convert_common as common
from csi_driver.rpc.gen import csi_pb2 as pb


def stage_from(message: pb.NodeStageVolumeRequest) -> requests.StageRequest:
    return requests.StageRequest(
        volume=common.required(message.volume_id, "volume_id"),
        staging_path=common.required(message.staging_target_path, "staging_target_path"),
        capability=common.required_capability(
            message.volume_capability if message.HasField("volume_capability") else None
        ),
        publish_context=dict(message.publish_context),
        volume_context=dict(message.volume_context),
    )


def unstage_from(message: pb.NodeUnstageVolumeRequest) -> requests.UnstageRequest:
    return requests.UnstageRequest(
        volume=common.required(message.volume_id, "volume_id"),
        staging_path=common.required(message.staging_target_path, "staging_target_path"),
    )


def publish_from(message: pb.NodePublishVolumeRequest) -> requests.BindRequest:
    """A missing staging path is no error here: it is FAILED_PRECONDITION, the node plugin's to say."""
    return requests.BindRequest(
        volume=common.required(message.volume_id, "volume_id"),
        staging_path=message.staging_target_path,
        target_path=common.required(message.target_path, "target_path"),
        capability=common.required_capability(
            message.volume_capability if message.HasField("volume_capability") else None
        ),
        readonly=message.readonly,
        publish_context=dict(message.publish_context),
        volume_context=dict(message.volume_context),
    )


def unpublish_from(message: pb.NodeUnpublishVolumeRequest) -> requests.UnbindRequest:
    return requests.UnbindRequest(
        volume=common.required(message.volume_id, "volume_id"),
        target_path=common.required(message.target_path, "target_path"),
    )


def expand_from(message: pb.NodeExpandVolumeRequest) -> requests.ExpandRequest:
    capability = message.volume_capability if message.HasField("volume_capability") else None
    return requests.ExpandRequest(
        volume=common.required(message.volume_id, "volume_id"),
        volume_path=common.required(message.volume_path, "volume_path"),
        limits=common.limits_from(message.capacity_range if message.HasField("capacity_range") else None),
        staging_path=message.staging_target_path,
        capability=None if capability is None else common.capability_from(capability),
    )


def stats_from(message: pb.NodeGetVolumeStatsRequest) -> requests.StatsRequest:
    return requests.StatsRequest(
        volume=common.required(message.volume_id, "volume_id"),
        volume_path=common.required(message.volume_path, "volume_path"),
        staging_path=message.staging_target_path,
    )


def stats_to(stats: requests.VolumeStats) -> pb.NodeGetVolumeStatsResponse:
    """Bytes, and inodes of a file system. Of a block volume only the total is known; 0 stands for the rest."""
    usage = [
        pb.VolumeUsage(
            unit=pb.VolumeUsage.BYTES,
            total=stats.bytes.total,
            used=stats.bytes.used or 0,
            available=stats.bytes.available or 0,
        )
    ]
    if (inodes := stats.inodes) is not None:
        usage.append(
            pb.VolumeUsage(unit=pb.VolumeUsage.INODES, total=inodes.total, used=inodes.used, available=inodes.available)
        )
    return pb.NodeGetVolumeStatsResponse(usage=usage)


def info_to(info: requests.NodeInfo) -> pb.NodeGetInfoResponse:
    return pb.NodeGetInfoResponse(
        node_id=info.node,
        max_volumes_per_node=info.max_volumes,
        accessible_topology=pb.Topology(segments=info.segments),
    )
