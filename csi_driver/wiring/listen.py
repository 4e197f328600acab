"""Addresses to listen on, as settings spell them."""

from __future__ import annotations

from csi_driver.errors import InvalidRequest


def parse(key: str, listen: str) -> tuple[str, int]:
    """Address and port of ``address:port``, IPv6 in brackets. InvalidRequest, naming ``key``, when it is none."""
    address, _, port = listen.rpartition(":")
    if not address or not port.isdigit() or int(port) > 65535:
        raise InvalidRequest(f"{key} = {listen!r}: must be address:port, such as 127.0.0.1:9090 or [::1]:9090")
    return address.strip("[]"), int(port)
