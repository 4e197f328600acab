"""CSI Identity: the same on every process of one version."""

from __future__ import annotations

from collections.abc import Callable

from google.protobuf.wrappers_pb2 import BoolValue

from csi_driver import DRIVER_NAME, __version__
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.interceptor import Context

_Service = pb.PluginCapability.Service
_Expansion = pb.PluginCapability.VolumeExpansion

SERVICES = (_Service.CONTROLLER_SERVICE, _Service.VOLUME_ACCESSIBILITY_CONSTRAINTS)
"""What is built, and nothing else: sidecars act on it."""


class IdentityServicer:
    """``ready`` is asked at every Probe: it must answer at once, from memory."""

    def __init__(self, ready: Callable[[], bool]) -> None:
        self._ready = ready

    async def GetPluginInfo(self, request: pb.GetPluginInfoRequest, context: Context) -> pb.GetPluginInfoResponse:
        return pb.GetPluginInfoResponse(name=DRIVER_NAME, vendor_version=__version__)

    async def GetPluginCapabilities(
        self, request: pb.GetPluginCapabilitiesRequest, context: Context
    ) -> pb.GetPluginCapabilitiesResponse:
        services = [pb.PluginCapability(service=_Service(type=kind)) for kind in SERVICES]
        expansion = pb.PluginCapability(volume_expansion=_Expansion(type=_Expansion.ONLINE))
        return pb.GetPluginCapabilitiesResponse(capabilities=[*services, expansion])

    async def Probe(self, request: pb.ProbeRequest, context: Context) -> pb.ProbeResponse:
        return pb.ProbeResponse(ready=BoolValue(value=self._ready()))
