"""Makes a driver known to the kubelet of its host; runs in the host, with nothing but grpcio.

The service that kubelet calls is k8s.io/kubelet/pkg/apis/pluginregistration/v1: GetInfo says where the driver listens,
NotifyRegistrationStatus what kubelet made of it.
"""

from __future__ import annotations

import sys
from concurrent import futures
from pathlib import Path

import grpc

SERVICE = "pluginregistration.Registration"
CSI_VERSION = "1.0.0"
"""Of the CSI specification, which has not broken with it since."""


def plugin_info(driver: str, endpoint: str) -> bytes:
    """The message PluginInfo: type, name, endpoint, supported versions."""
    fields = enumerate(("CSIPlugin", driver, endpoint, CSI_VERSION), start=1)
    return b"".join(_text_field(number, text) for number, text in fields)


def _text_field(number: int, text: str) -> bytes:
    """One string of a protobuf message: its number with wire type 2, its length, its bytes."""
    data = text.encode()
    if len(data) > 127:
        raise ValueError(f"{text!r} is too long: one byte holds its length")
    return bytes([number << 3 | 2, len(data)]) + data


def main(driver: str, endpoint: str, socket: str) -> None:
    """Serve until the end."""

    def get_info(_request: bytes, _context: grpc.ServicerContext) -> bytes:
        return plugin_info(driver, endpoint)

    def notify(request: bytes, _context: grpc.ServicerContext) -> bytes:
        print(f"kubelet says {request!r}", flush=True)
        return b""

    methods: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "GetInfo": grpc.unary_unary_rpc_method_handler(get_info),
        "NotifyRegistrationStatus": grpc.unary_unary_rpc_method_handler(notify),
    }
    Path(socket).parent.mkdir(parents=True, exist_ok=True)
    Path(socket).unlink(missing_ok=True)
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
