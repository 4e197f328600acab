"""CSI Controller: each method one conversion in, one verb, one conversion out."""

from __future__ import annotations

from typing import Protocol

from csi_driver.control import requests
from csi_driver.errors import InvalidRequest
from csi_driver.rpc import convert_controller as convert
from csi_driver.rpc import convert_snapshots as snapshots
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.interceptor import Context

_Rpc = pb.ControllerServiceCapability.RPC

CAPABILITIES = (
    _Rpc.CREATE_DELETE_VOLUME,
    _Rpc.PUBLISH_UNPUBLISH_VOLUME,
    _Rpc.LIST_VOLUMES,
    _Rpc.LIST_VOLUMES_PUBLISHED_NODES,
    _Rpc.GET_CAPACITY,
    _Rpc.EXPAND_VOLUME,
    _Rpc.GET_VOLUME,
    _Rpc.SINGLE_NODE_MULTI_WRITER,
    _Rpc.PUBLISH_READONLY,
    _Rpc.CREATE_DELETE_SNAPSHOT,
    _Rpc.LIST_SNAPSHOTS,
    _Rpc.GET_SNAPSHOT,
    _Rpc.CLONE_VOLUME,
)
"""What is built, and nothing else: sidecars act on it."""


class ControllerVerbs(Protocol):
    """What is asked of ``control.service.Controller``."""

    async def create_volume(self, request: requests.CreateVolume) -> requests.VolumeView: ...
    async def delete_volume(self, request: requests.DeleteVolume) -> None: ...
    async def publish_volume(self, request: requests.PublishVolume) -> requests.Published: ...
    async def unpublish_volume(self, request: requests.UnpublishVolume) -> None: ...
    async def validate_capabilities(self, request: requests.ValidateCapabilities) -> requests.Validated: ...
    async def expand_volume(self, request: requests.ExpandVolume) -> requests.Expanded: ...
    async def list_volumes(self, request: requests.ListVolumes) -> requests.VolumePage: ...
    async def get_volume(self, request: requests.GetVolume) -> requests.VolumeView: ...
    async def get_capacity(self, request: requests.GetCapacity) -> requests.CapacityView: ...
    async def create_snapshot(self, request: requests.CreateSnapshot) -> requests.SnapshotView: ...
    async def delete_snapshot(self, request: requests.DeleteSnapshot) -> None: ...
    async def list_snapshots(self, request: requests.ListSnapshots) -> requests.SnapshotPage: ...
    async def get_snapshot(self, request: requests.GetSnapshot) -> requests.SnapshotView: ...


class ControllerServicer:
    """Methods that are not here are not offered, and not advertised."""

    def __init__(self, controller: ControllerVerbs) -> None:
        self._controller = controller

    async def CreateVolume(self, request: pb.CreateVolumeRequest, context: Context) -> pb.CreateVolumeResponse:
        view = await self._controller.create_volume(convert.create_from(request))
        return pb.CreateVolumeResponse(volume=convert.volume_to(view))

    async def DeleteVolume(self, request: pb.DeleteVolumeRequest, context: Context) -> pb.DeleteVolumeResponse:
        await self._controller.delete_volume(convert.delete_from(request))
        return pb.DeleteVolumeResponse()

    async def ControllerPublishVolume(
        self, request: pb.ControllerPublishVolumeRequest, context: Context
    ) -> pb.ControllerPublishVolumeResponse:
        return convert.published_to(await self._controller.publish_volume(convert.publish_from(request)))

    async def ControllerUnpublishVolume(
        self, request: pb.ControllerUnpublishVolumeRequest, context: Context
    ) -> pb.ControllerUnpublishVolumeResponse:
        await self._controller.unpublish_volume(convert.unpublish_from(request))
        return pb.ControllerUnpublishVolumeResponse()

    async def ValidateVolumeCapabilities(
        self, request: pb.ValidateVolumeCapabilitiesRequest, context: Context
    ) -> pb.ValidateVolumeCapabilitiesResponse:
        convert.check_validate(request)
        try:
            asked = convert.validate_from(request)
        except InvalidRequest as error:
            # A capability that we do not even know is not supported, which is an answer here and no error; but
            # of a volume that does not exist nothing is answered (csi.md 1.3, ValidateVolumeCapabilities).
            await self._controller.get_volume(requests.GetVolume(id=request.volume_id))
            return pb.ValidateVolumeCapabilitiesResponse(message=str(error))
        return convert.validated_to(await self._controller.validate_capabilities(asked), request)

    async def ListVolumes(self, request: pb.ListVolumesRequest, context: Context) -> pb.ListVolumesResponse:
        return convert.page_to(await self._controller.list_volumes(convert.list_from(request)))

    async def GetCapacity(self, request: pb.GetCapacityRequest, context: Context) -> pb.GetCapacityResponse:
        return convert.capacity_to(await self._controller.get_capacity(convert.capacity_from(request)))

    async def ControllerGetCapabilities(
        self, request: pb.ControllerGetCapabilitiesRequest, context: Context
    ) -> pb.ControllerGetCapabilitiesResponse:
        return pb.ControllerGetCapabilitiesResponse(
            capabilities=[pb.ControllerServiceCapability(rpc=_Rpc(type=kind)) for kind in CAPABILITIES]
        )

    async def ControllerExpandVolume(
        self, request: pb.ControllerExpandVolumeRequest, context: Context
    ) -> pb.ControllerExpandVolumeResponse:
        return convert.expanded_to(await self._controller.expand_volume(convert.expand_from(request)))

    async def ControllerGetVolume(
        self, request: pb.ControllerGetVolumeRequest, context: Context
    ) -> pb.ControllerGetVolumeResponse:
        return convert.got_to(await self._controller.get_volume(convert.get_from(request)))

    async def CreateSnapshot(self, request: pb.CreateSnapshotRequest, context: Context) -> pb.CreateSnapshotResponse:
        view = await self._controller.create_snapshot(snapshots.create_from(request))
        return pb.CreateSnapshotResponse(snapshot=snapshots.snapshot_to(view))

    async def DeleteSnapshot(self, request: pb.DeleteSnapshotRequest, context: Context) -> pb.DeleteSnapshotResponse:
        await self._controller.delete_snapshot(snapshots.delete_from(request))
        return pb.DeleteSnapshotResponse()

    async def ListSnapshots(self, request: pb.ListSnapshotsRequest, context: Context) -> pb.ListSnapshotsResponse:
        return snapshots.page_to(await self._controller.list_snapshots(snapshots.list_from(request)))

    async def GetSnapshot(self, request: pb.GetSnapshotRequest, context: Context) -> pb.GetSnapshotResponse:
        view = await self._controller.get_snapshot(snapshots.get_from(request))
        return pb.GetSnapshotResponse(snapshot=snapshots.snapshot_to(view))
