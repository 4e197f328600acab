"""CSI Node: each method one conversion in, one verb, one conversion out."""

from __future__ import annotations

from typing import Protocol

from csi_driver.node import requests
from csi_driver.rpc import convert_node as convert
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.interceptor import Context

_Rpc = pb.NodeServiceCapability.RPC

CAPABILITIES = (
    _Rpc.STAGE_UNSTAGE_VOLUME,
    _Rpc.GET_VOLUME_STATS,
    _Rpc.EXPAND_VOLUME,
    _Rpc.SINGLE_NODE_MULTI_WRITER,
)
"""What is built, and nothing else: kubelet acts on it."""


class NodeVerbs(Protocol):
    """What is asked of ``node.service.NodePlugin``."""

    async def stage(self, request: requests.StageRequest) -> None: ...
    async def unstage(self, request: requests.UnstageRequest) -> None: ...
    async def publish(self, request: requests.BindRequest) -> None: ...
    async def unpublish(self, request: requests.UnbindRequest) -> None: ...
    async def expand(self, request: requests.ExpandRequest) -> int: ...
    async def stats(self, request: requests.StatsRequest) -> requests.VolumeStats: ...
    def info(self) -> requests.NodeInfo: ...


class NodeServicer:
    """Methods that are not here are not offered, and not advertised."""

    def __init__(self, node: NodeVerbs) -> None:
        self._node = node

    async def NodeStageVolume(self, request: pb.NodeStageVolumeRequest, context: Context) -> pb.NodeStageVolumeResponse:
        await self._node.stage(convert.stage_from(request))
        return pb.NodeStageVolumeResponse()

    async def NodeUnstageVolume(
        self, request: pb.NodeUnstageVolumeRequest, context: Context
    ) -> pb.NodeUnstageVolumeResponse:
        await self._node.unstage(convert.unstage_from(request))
        return pb.NodeUnstageVolumeResponse()

    async def NodePublishVolume(
        self, request: pb.NodePublishVolumeRequest, context: Context
    ) -> pb.NodePublishVolumeResponse:
        await self._node.publish(convert.publish_from(request))
        return pb.NodePublishVolumeResponse()

    async def NodeUnpublishVolume(
        self, request: pb.NodeUnpublishVolumeRequest, context: Context
    ) -> pb.NodeUnpublishVolumeResponse:
        await self._node.unpublish(convert.unpublish_from(request))
        return pb.NodeUnpublishVolumeResponse()

    async def NodeGetVolumeStats(
        self, request: pb.NodeGetVolumeStatsRequest, context: Context
    ) -> pb.NodeGetVolumeStatsResponse:
        return convert.stats_to(await self._node.stats(convert.stats_from(request)))

    async def NodeExpandVolume(
        self, request: pb.NodeExpandVolumeRequest, context: Context
    ) -> pb.NodeExpandVolumeResponse:
        return pb.NodeExpandVolumeResponse(capacity_bytes=await self._node.expand(convert.expand_from(request)))

    async def NodeGetCapabilities(
        self, request: pb.NodeGetCapabilitiesRequest, context: Context
    ) -> pb.NodeGetCapabilitiesResponse:
        return pb.NodeGetCapabilitiesResponse(
            capabilities=[pb.NodeServiceCapability(rpc=_Rpc(type=kind)) for kind in CAPABILITIES]
        )

    async def NodeGetInfo(self, request: pb.NodeGetInfoRequest, context: Context) -> pb.NodeGetInfoResponse:
        return convert.info_to(self._node.info())
