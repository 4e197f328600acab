"""The CSI services of one process on its Unix socket."""

from __future__ import annotations

import socket
import stat
from collections.abc import Callable
from pathlib import Path

from google.protobuf.message import Message
from grpc import aio

from csi_driver.errors import InternalError, InvalidRequest
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc import limits, register
from csi_driver.rpc.csi_controller import ControllerServicer, ControllerVerbs
from csi_driver.rpc.csi_identity import IdentityServicer
from csi_driver.rpc.csi_node import NodeServicer, NodeVerbs
from csi_driver.rpc.gen import csi_pb2 as pb
from csi_driver.rpc.interceptor import Context, Interceptor

LONGEST_PATH = 107
"""Bytes of a Unix socket's path (sockaddr_un, unix(7))."""


class CsiServer:
    """Identity always; Controller and Node when they are given. ``ready`` answers Probe, from memory."""

    def __init__(
        self,
        endpoint: str,
        metrics: RpcMetrics,
        *,
        ready: Callable[[], bool],
        controller: ControllerVerbs | None = None,
        node: NodeVerbs | None = None,
    ) -> None:
        """Raises InvalidRequest when ``endpoint`` is no Unix socket."""
        self._path = socket_path(endpoint)
        self._server = aio.server(interceptors=(Interceptor(metrics, checks=(_check_limits,)),))
        self._add("Identity", IdentityServicer(ready))
        if controller is not None:
            self._add("Controller", ControllerServicer(controller))
        if node is not None:
            self._add("Node", NodeServicer(node))

    def _add(self, service: str, servicer: object) -> None:
        descriptor = pb.DESCRIPTOR.services_by_name[service]
        self._server.add_generic_rpc_handlers((register.handler(descriptor, servicer),))

    async def start(self) -> None:
        """Serve. InvalidRequest when another process serves there, InternalError when the socket cannot be made.

        The socket is only as private as the process's umask makes it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            remove_stale(self._path)
            self._server.add_insecure_port(f"unix:{self._path}")
        except (OSError, RuntimeError) as error:
            raise InternalError(f"no socket can be made at {self._path}: {error}") from error
        await self._server.start()

    async def stop(self, grace: float) -> None:
        """Take no more calls, and give those that run ``grace`` seconds to be answered. Their jobs go on."""
        await self._server.stop(grace)
        self._path.unlink(missing_ok=True)


def socket_path(endpoint: str) -> Path:
    """The path in ``unix:///path``, ``unix:/path`` or just ``/path`` (CSI_ENDPOINT is spelt in each way)."""
    text = endpoint.removeprefix("unix:")
    path = Path("/" + text.lstrip("/"))
    if not text.startswith("/") or path == Path("/"):
        raise InvalidRequest(f"endpoint {endpoint!r} is no absolute Unix socket path, such as unix:///run/x/csi.sock")
    if len(bytes(path)) > LONGEST_PATH:
        raise InvalidRequest(f"endpoint {endpoint!r}: the path of a Unix socket has at most {LONGEST_PATH} bytes")
    return path


def remove_stale(path: Path) -> None:
    """Remove a socket that nobody serves. InvalidRequest when somebody does, or when it is something else."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise InvalidRequest(f"{path} is not a socket: it is left alone")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise InvalidRequest(f"another process serves {path}")


def _check_limits(request: Message, _context: Context) -> None:
    limits.check(request)
