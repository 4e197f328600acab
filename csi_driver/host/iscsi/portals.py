"""Addresses of portals: ``10.0.0.1:3260``, ``[fd00::1]:3260``."""

from __future__ import annotations

import ipaddress

from csi_driver.errors import InvalidRequest

DEFAULT_PORT = 3260


def split(portal: str) -> tuple[str, int]:
    """Address without brackets, and port. InvalidRequest unless it is an IP address and a port."""
    address, colon, port = portal.rpartition(":")
    address = address.removeprefix("[").removesuffix("]")
    try:
        ipaddress.ip_address(address)
        number = int(port)
    except ValueError as error:
        raise InvalidRequest(f"{portal!r} is no portal: use 10.0.0.1:3260 or [fd00::1]:3260") from error
    if not colon or not 0 < number < 65536:
        raise InvalidRequest(f"{portal!r} is no portal: its port must be 1 to 65535")
    return address, number


def join(address: str, port: int | str) -> str:
    """The portal of an address, IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
