"""Makes the driver known to the kubelet of its host: what node-driver-registrar does, without the second container.

kubelet watches a folder for sockets, calls GetInfo on each new one, then the CSI socket it was told, and says by
NotifyRegistrationStatus what came of it (k8s.io/kubelet/pkg/apis/pluginregistration/v1).
"""

from __future__ import annotations

import asyncio
import logging

from grpc import aio

from csi_driver import DRIVER_NAME
from csi_driver.errors import InternalError, InvalidRequest, Unavailable
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc import register
from csi_driver.rpc.csi_server import remove_stale, socket_path
from csi_driver.rpc.gen import pluginregistration_pb2 as pb
from csi_driver.rpc.interceptor import Context, Interceptor
from csi_driver.settings import KubeletSettings

log = logging.getLogger(__name__)

KIND = "CSIPlugin"
VERSIONS = ("1.0.0",)
"""Of CSI: kubelet takes any 1.x, and has never wanted another string than that of node-driver-registrar."""


class RegistrationServicer:
    """Answers kubelet, and keeps what it said."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self.registered = False
        self.refused: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def GetInfo(self, request: pb.InfoRequest, context: Context) -> pb.PluginInfo:
        return pb.PluginInfo(type=KIND, name=DRIVER_NAME, endpoint=self._endpoint, supported_versions=VERSIONS)

    async def NotifyRegistrationStatus(
        self, request: pb.RegistrationStatus, context: Context
    ) -> pb.RegistrationStatusResponse:
        self.registered = request.plugin_registered
        if self.registered:
            log.info("registered with kubelet")
        elif not self.refused.done():
            self.refused.set_result(request.error)
        return pb.RegistrationStatusResponse()


class RegistrationServer:
    """Serves on the socket where kubelet looks, from ``start`` to ``stop``.

    The socket's file is left behind at the end, on purpose: when it goes kubelet takes our entry out of the CSINode,
    and with it the trace that this node may hold volumes (docs/decisions/0004-kubernetes.md).
    """

    def __init__(self, settings: KubeletSettings, metrics: RpcMetrics) -> None:
        """Raises InvalidRequest when one of the paths is none."""
        self._path = socket_path(settings.registration_socket)
        # kubelet passes over names with a dot. gRPC unlinks the name that it has bound when it stops.
        self._bound = socket_path(str(self._path.with_name("." + self._path.name)))
        self._endpoint = str(socket_path(settings.endpoint))
        self._metrics = metrics
        self._servicer: RegistrationServicer | None = None
        self._server: aio.Server | None = None

    @property
    def registered(self) -> bool:
        """Whether kubelet has said so."""
        return self._servicer is not None and self._servicer.registered

    async def start(self) -> None:
        """Serve; kubelet comes by itself. InternalError when the socket cannot be made: its folder is kubelet's, and
        is never made.
        """
        self._servicer = RegistrationServicer(self._endpoint)
        server = aio.server(interceptors=(Interceptor(self._metrics),))
        service = pb.DESCRIPTOR.services_by_name["Registration"]
        server.add_generic_rpc_handlers((register.handler(service, self._servicer),))
        try:
            remove_stale(self._bound)
            server.add_insecure_port(f"unix:{self._bound}")
            await server.start()
            self._server = server
            self._bound.replace(self._path)
        except (OSError, RuntimeError) as error:
            raise InternalError(f"no socket can be made at {self._path}: {error}") from error

    async def refusal(self) -> None:
        """Wait until kubelet refuses us, and raise Unavailable with its reason."""
        if self._servicer is None:
            raise InvalidRequest("the registration is not served")
        reason = await self._servicer.refused
        raise Unavailable(f"kubelet did not register the driver: {reason or 'no reason given'}")

    async def stop(self) -> None:
        """Serve no more."""
        if self._server is not None:
            await self._server.stop(None)
