"""Whether a request can be meant at all, before anything is looked up (CSI spec, "Field Requirements"; csi.md 1.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import AccessType, Capability, FsType, check_supported
from csi_driver.model.volume import Limits

NAME_BYTES = 128
MAP_BYTES = 4096
FLAGS_BYTES = 4096
DEFAULT_FS = FsType.EXT4
"""Of a mount volume whose request leaves the choice open."""
# The control characters that the spec forbids in a name: tab, line feed and carriage return are not among them.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def given(value: str, what: str) -> str:
    """``value``. Raises InvalidRequest when it is empty."""
    if not value:
        raise InvalidRequest(f"{what} is missing")
    return value


def name(value: str) -> str:
    """A volume's CSI name. Raises InvalidRequest when it is empty, too long or holds control characters."""
    given(value, "name")
    if (size := len(value.encode(errors="surrogatepass"))) > NAME_BYTES:
        raise InvalidRequest(f"name is {size} bytes long, at most {NAME_BYTES} are allowed")
    if _CONTROL.search(value):
        raise InvalidRequest(f"name {value!r} holds control characters")
    return value


def small_map(values: Mapping[str, str], what: str) -> None:
    """Raises InvalidRequest when a map is larger than the spec allows."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in values.items())
    if size > MAP_BYTES:
        raise InvalidRequest(f"{what}: {size} bytes, at most {MAP_BYTES} are allowed")


def limits(value: Limits) -> Limits:
    """A capacity range. Raises InvalidRequest when it is negative or upside down. 0 says not set."""
    for bound, what in ((value.required, "required_bytes"), (value.limit, "limit_bytes")):
        if bound is not None and bound < 0:
            raise InvalidRequest(f"capacity_range.{what} is {bound}: it cannot be negative")
    required, limit = value.required or None, value.limit or None
    if required is not None and limit is not None and limit < required:
        raise InvalidRequest(f"capacity_range.limit_bytes {limit} is below required_bytes {required}")
    return Limits(required, limit)


def capability(value: Capability | None) -> Capability:
    """One capability that is offered. Raises InvalidRequest."""
    if value is None:
        raise InvalidRequest("volume_capability is missing")
    if (size := sum(len(flag.encode()) for flag in value.mount_flags)) > FLAGS_BYTES:
        raise InvalidRequest(f"mount_flags: {size} bytes, at most {FLAGS_BYTES} are allowed")
    check_supported(value)
    return value


def present(values: Iterable[Capability]) -> tuple[Capability, ...]:
    """The capabilities, whether offered or not. Raises InvalidRequest when there is none."""
    if not (found := tuple(values)):
        raise InvalidRequest("volume_capabilities are missing")
    return found


def file_system(capabilities: Iterable[Capability]) -> tuple[AccessType, FsType | None]:
    """How the volume is to be made: the kind of access, and the file system if one is named.

    Raises InvalidRequest when no one volume can be used in all these ways.
    """
    asked = [capability(each) for each in present(capabilities)]
    kinds = {each.access for each in asked}
    if len(kinds) > 1:
        raise InvalidRequest("volume_capabilities ask for a file system and for a raw block volume at once")
    named = {each.fs for each in asked if each.fs is not None}
    if len(named) > 1:
        raise InvalidRequest(f"volume_capabilities ask for several file systems: {', '.join(sorted(named))}")
    return kinds.pop(), named.pop() if named else None
