"""The one table from the meaning of an error to its gRPC code (DESIGN 1.6).

A code is a statement of fact: external-provisioner takes those of ``STILL_RUNNING`` for "perhaps it goes on, ask
again" and every other one for "over" (csi.md 1.1 and 1.3, CreateVolume).
"""

from __future__ import annotations

from grpc import StatusCode

from csi_driver.errors import DriverError, Kind

CODES: dict[Kind, StatusCode] = {
    Kind.INVALID: StatusCode.INVALID_ARGUMENT,
    Kind.NOT_FOUND: StatusCode.NOT_FOUND,
    Kind.INCOMPATIBLE: StatusCode.ALREADY_EXISTS,
    Kind.OUT_OF_RANGE: StatusCode.OUT_OF_RANGE,
    Kind.NO_CAPACITY: StatusCode.RESOURCE_EXHAUSTED,
    Kind.PRECONDITION: StatusCode.FAILED_PRECONDITION,
    Kind.DENIED: StatusCode.PERMISSION_DENIED,
    Kind.UNSUPPORTED: StatusCode.UNIMPLEMENTED,
    Kind.BUSY: StatusCode.ABORTED,
    Kind.PENDING: StatusCode.ABORTED,
    Kind.BAD_TOKEN: StatusCode.ABORTED,
    Kind.UNAVAILABLE: StatusCode.UNAVAILABLE,
    Kind.INTERNAL: StatusCode.INTERNAL,
}

STILL_RUNNING: frozenset[StatusCode] = frozenset(
    {StatusCode.ABORTED, StatusCode.UNAVAILABLE, StatusCode.CANCELLED, StatusCode.DEADLINE_EXCEEDED}
)
"""Codes after which a sidecar assumes that the operation may still go on."""

MESSAGE_LIMIT = 4000
"""Bytes of a status message that we send: gRPC puts it into a header, and headers end at 8 KiB."""


def code_of(error: DriverError) -> StatusCode:
    """The code that tells what ``error`` means."""
    return CODES[error.kind]


def message_of(error: DriverError) -> str:
    """The status message: never empty (CSI spec, "Error Scheme"), never longer than a header may be."""
    text = str(error) or f"{type(error).__name__} without further words"
    raw = text.encode()
    if len(raw) <= MESSAGE_LIMIT:
        return text
    return raw[: MESSAGE_LIMIT - 4].decode(errors="ignore") + " ..."
