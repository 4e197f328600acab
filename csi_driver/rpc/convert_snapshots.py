"""CSI's messages about snapshots as the controller's own requests, and its answers as messages."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from csi_driver.control import requests
from csi_driver.errors import InvalidRequest
from csi_driver.rpc import convert_common as common
from csi_driver.rpc.gen import csi_pb2 as pb


def create_from(message: pb.CreateSnapshotRequest) -> requests.CreateSnapshot:
    return requests.CreateSnapshot(
        name=common.name_from(message.name),
        source=common.required(message.source_volume_id, "source_volume_id"),
        parameters=dict(message.parameters),
    )


def delete_from(message: pb.DeleteSnapshotRequest) -> requests.DeleteSnapshot:
    return requests.DeleteSnapshot(id=common.required(message.snapshot_id, "snapshot_id"))


def get_from(message: pb.GetSnapshotRequest) -> requests.GetSnapshot:
    return requests.GetSnapshot(id=common.required(message.snapshot_id, "snapshot_id"))


def list_from(message: pb.ListSnapshotsRequest) -> requests.ListSnapshots:
    if message.max_entries < 0:
        raise InvalidRequest("max_entries must not be negative")
    return requests.ListSnapshots(
        maximum=message.max_entries,
        token=message.starting_token,
        id=message.snapshot_id,
        source=message.source_volume_id,
    )


def page_to(page: requests.SnapshotPage) -> pb.ListSnapshotsResponse:
    entries = (pb.ListSnapshotsResponse.Entry(snapshot=snapshot_to(view)) for view in page.snapshots)
    return pb.ListSnapshotsResponse(entries=entries, next_token=page.token)


def snapshot_to(view: requests.SnapshotView) -> pb.Snapshot:
    """Ready at once: a thin snapshot is whole when it is there."""
    return pb.Snapshot(
        snapshot_id=view.id,
        source_volume_id=view.source,
        size_bytes=view.size,
        creation_time=Timestamp(seconds=view.created),
        ready_to_use=True,
    )
