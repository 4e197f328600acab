"""A CSI client for one socket, as a sidecar or kubelet would call it. Blocking; one call at a time or many threads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from csi_driver.rpc.gen import csi_pb2 as csi

M = TypeVar("M", bound=Message)
NOT_FINAL = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.DEADLINE_EXCEEDED)
"""What sidecars and kubelet answer by asking again (csi.md 1.3)."""
Mode = csi.VolumeCapability.AccessMode


def mount(fs: str = "ext4", *, mode: Mode.Mode.ValueType = Mode.SINGLE_NODE_WRITER) -> csi.VolumeCapability:
    """A mounted file system."""
    return csi.VolumeCapability(mount=csi.VolumeCapability.MountVolume(fs_type=fs), access_mode=Mode(mode=mode))


def block(*, mode: Mode.Mode.ValueType = Mode.SINGLE_NODE_WRITER) -> csi.VolumeCapability:
    """A raw block device."""
    return csi.VolumeCapability(block=csi.VolumeCapability.BlockVolume(), access_mode=Mode(mode=mode))


class Csi:
    """The CSI services behind a Unix socket of this machine. Every call has a deadline, in seconds."""

    def __init__(self, socket: Path, timeout: float = 60.0, *, patience: float = 0.0) -> None:
        """``patience``: for so many seconds, ask again what was answered with a code that is not final."""
        self._patience = patience
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.enable_http_proxy", 0)])
        self._timeout = timeout

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def call(self, method: str, request: Message, answer: type[M], *, timeout: float | None = None) -> M:
        """The answer of ``Service/Method``; raises grpc.RpcError with the driver's code and words."""
        invoke = self._channel.unary_unary(
            f"/csi.v1.{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        until = time.monotonic() + self._patience
        while True:
            try:
                return invoke(request, timeout=timeout or self._timeout, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() not in NOT_FINAL or time.monotonic() > until:
                    raise
            time.sleep(0.5)

    # -- controller

    def create(
        self,
        name: str,
        size: int,
        capability: csi.VolumeCapability,
        *,
        parameters: Mapping[str, str] | None = None,
        near: str | None = None,
        source: str = "",
        timeout: float | None = None,
    ) -> csi.Volume:
        """CreateVolume of at least ``size`` bytes (0: nothing is said), preferably on the node ``near``; with the
        content of the snapshot or volume ``source``.
        """
        request = csi.CreateVolumeRequest(
            name=name, volume_capabilities=[capability], parameters=dict(parameters or {})
        )
        if size:
            request.capacity_range.required_bytes = size
        if source.startswith("snap-"):
            request.volume_content_source.snapshot.snapshot_id = source
        elif source:
            request.volume_content_source.volume.volume_id = source
        if near is not None:
            request.accessibility_requirements.preferred.add().segments["csi.clinker.io/node"] = near
        return self.call("Controller/CreateVolume", request, csi.CreateVolumeResponse, timeout=timeout).volume

    def snapshot(self, name: str, volume: str, *, parameters: Mapping[str, str] | None = None) -> csi.Snapshot:
        """CreateSnapshot."""
        request = csi.CreateSnapshotRequest(name=name, source_volume_id=volume, parameters=dict(parameters or {}))
        return self.call("Controller/CreateSnapshot", request, csi.CreateSnapshotResponse).snapshot

    def delete_snapshot(self, snapshot: str) -> None:
        """DeleteSnapshot."""
        request = csi.DeleteSnapshotRequest(snapshot_id=snapshot)
        self.call("Controller/DeleteSnapshot", request, csi.DeleteSnapshotResponse)

    def snapshots(self, **asked: str | int) -> csi.ListSnapshotsResponse:
        """ListSnapshots; ``asked`` are the fields of the request."""
        request = csi.ListSnapshotsRequest(**asked)  # type: ignore[arg-type]  # the caller's, by name
        return self.call("Controller/ListSnapshots", request, csi.ListSnapshotsResponse)

    def delete(self, volume: str, *, timeout: float | None = None) -> None:
        """DeleteVolume."""
        request = csi.DeleteVolumeRequest(volume_id=volume)
        self.call("Controller/DeleteVolume", request, csi.DeleteVolumeResponse, timeout=timeout)

    def attach(
        self,
        volume: str,
        node: str,
        capability: csi.VolumeCapability,
        *,
        readonly: bool = False,
        timeout: float | None = None,
    ) -> dict[str, str]:
        """ControllerPublishVolume; its publish context."""
        request = csi.ControllerPublishVolumeRequest(
            volume_id=volume, node_id=node, volume_capability=capability, readonly=readonly
        )
        answer = self.call(
            "Controller/ControllerPublishVolume", request, csi.ControllerPublishVolumeResponse, timeout=timeout
        )
        return dict(answer.publish_context)

    def detach(self, volume: str, node: str, *, timeout: float | None = None) -> None:
        """ControllerUnpublishVolume: the fence."""
        request = csi.ControllerUnpublishVolumeRequest(volume_id=volume, node_id=node)
        self.call(
            "Controller/ControllerUnpublishVolume", request, csi.ControllerUnpublishVolumeResponse, timeout=timeout
        )

    def expand(self, volume: str, size: int) -> int:
        """ControllerExpandVolume; the new size in bytes."""
        request = csi.ControllerExpandVolumeRequest(
            volume_id=volume, capacity_range=csi.CapacityRange(required_bytes=size)
        )
        return self.call(
            "Controller/ControllerExpandVolume", request, csi.ControllerExpandVolumeResponse
        ).capacity_bytes

    def volumes(self) -> dict[str, list[str]]:
        """ListVolumes: id to the nodes it is published to."""
        answer = self.call("Controller/ListVolumes", csi.ListVolumesRequest(), csi.ListVolumesResponse)
        return {entry.volume.volume_id: list(entry.status.published_node_ids) for entry in answer.entries}

    def capacity(self, node: str | None = None, parameters: Mapping[str, str] | None = None) -> int:
        """GetCapacity in bytes, of a node's segment or of all."""
        request = csi.GetCapacityRequest(parameters=dict(parameters or {}))
        if node is not None:
            request.accessible_topology.segments["csi.clinker.io/node"] = node
        return self.call("Controller/GetCapacity", request, csi.GetCapacityResponse).available_capacity

    # -- node

    def stage(
        self,
        volume: str,
        context: Mapping[str, str],
        staging: str,
        capability: csi.VolumeCapability,
        *,
        volume_context: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> None:
        """NodeStageVolume."""
        request = csi.NodeStageVolumeRequest(
            volume_id=volume,
            publish_context=dict(context),
            staging_target_path=staging,
            volume_capability=capability,
            volume_context=dict(volume_context or {}),
        )
        self.call("Node/NodeStageVolume", request, csi.NodeStageVolumeResponse, timeout=timeout)

    def publish(
        self,
        volume: str,
        context: Mapping[str, str],
        staging: str,
        target: str,
        capability: csi.VolumeCapability,
    ) -> None:
        """NodePublishVolume."""
        request = csi.NodePublishVolumeRequest(
            volume_id=volume,
            publish_context=dict(context),
            staging_target_path=staging,
            target_path=target,
            volume_capability=capability,
        )
        self.call("Node/NodePublishVolume", request, csi.NodePublishVolumeResponse)

    def unpublish(self, volume: str, target: str) -> None:
        """NodeUnpublishVolume."""
        request = csi.NodeUnpublishVolumeRequest(volume_id=volume, target_path=target)
        self.call("Node/NodeUnpublishVolume", request, csi.NodeUnpublishVolumeResponse)

    def unstage(self, volume: str, staging: str, *, timeout: float | None = None) -> None:
        """NodeUnstageVolume."""
        request = csi.NodeUnstageVolumeRequest(volume_id=volume, staging_target_path=staging)
        self.call("Node/NodeUnstageVolume", request, csi.NodeUnstageVolumeResponse, timeout=timeout)

    def grow(self, volume: str, path: str) -> int:
        """NodeExpandVolume without a capability; the size it answers, in bytes."""
        request = csi.NodeExpandVolumeRequest(volume_id=volume, volume_path=path)
        return self.call("Node/NodeExpandVolume", request, csi.NodeExpandVolumeResponse).capacity_bytes

    # -- identity

    def ready(self, *, timeout: float = 30.0) -> bool:
        """Probe."""
        answer = self.call("Identity/Probe", csi.ProbeRequest(), csi.ProbeResponse, timeout=timeout)
        return answer.ready.value
