"""What CSI requests have in common, checked and converted: required fields, capabilities, sizes, places."""

from __future__ import annotations

import re
from collections.abc import Iterable

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.topology import Segment, Topology
from csi_driver.model.volume import Limits
from csi_driver.rpc.gen import csi_pb2 as pb

# Any Unicode but control characters (CSI spec, "Field Requirements", names); tab, newline and CR are not among them.
_CONTROL = re.compile("[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]")


def required(value: str, field: str) -> str:
    """``value``, which must not be empty."""
    if not value:
        raise InvalidRequest(f"{field} is missing")
    return value


def name_from(value: str) -> str:
    """The name of something to be made: there, and without control characters."""
    if match := _CONTROL.search(required(value, "name")):
        raise InvalidRequest(f"name contains the control character U+{ord(match[0]):04X}")
    return value


def check_capability(message: pb.VolumeCapability) -> None:
    """Raise InvalidRequest unless the fields that CSI marks REQUIRED are there."""
    if message.WhichOneof("access_type") is None:
        raise InvalidRequest("volume_capability: access_type is missing; set block or mount")
    if message.access_mode.mode == pb.VolumeCapability.AccessMode.UNKNOWN:
        raise InvalidRequest("volume_capability: access_mode is missing")


def check_capabilities(messages: Iterable[pb.VolumeCapability]) -> None:
    """Raise InvalidRequest unless there is one at least, and each is whole."""
    found = list(messages)
    if not found:
        raise InvalidRequest("volume_capabilities are missing")
    for message in found:
        check_capability(message)


def capability_from(message: pb.VolumeCapability) -> Capability:
    """A capability that is whole. InvalidRequest when it asks for what we do not know."""
    check_capability(message)
    try:
        mode = AccessMode(message.access_mode.mode)
    except ValueError as error:
        raise InvalidRequest(f"access mode {message.access_mode.mode} is not known to this driver") from error
    if message.HasField("block"):
        return Capability(mode, AccessType.BLOCK)
    mount = message.mount
    if mount.volume_mount_group:
        raise InvalidRequest("volume_mount_group is not offered: its node capability is not advertised")
    return Capability(mode, AccessType.MOUNT, _fs_from(mount.fs_type), tuple(mount.mount_flags))


def required_capability(message: pb.VolumeCapability | None) -> Capability:
    """The one capability of a request that must have one; None stands for a missing field."""
    if message is None:
        raise InvalidRequest("volume_capability is missing")
    return capability_from(message)


def capabilities_from(messages: Iterable[pb.VolumeCapability]) -> tuple[Capability, ...]:
    """Each of them; there may be none."""
    return tuple(map(capability_from, messages))


def limits_from(message: pb.CapacityRange | None) -> Limits:
    """A capacity range; 0 and a missing range set no bound (csi.proto, CapacityRange)."""
    if message is None:
        return Limits()
    required_bytes, limit = message.required_bytes, message.limit_bytes
    if required_bytes < 0 or limit < 0:
        raise InvalidRequest("capacity_range: a size must not be negative")
    if limit and limit < required_bytes:
        raise InvalidRequest(f"capacity_range: limit_bytes {limit} is below required_bytes {required_bytes}")
    return Limits(required_bytes or None, limit or None)


def required_limits(message: pb.CapacityRange | None) -> Limits:
    """A capacity range that must be there and say something."""
    limits = limits_from(message)
    if limits == Limits():
        raise InvalidRequest("capacity_range is missing")
    return limits


def segment_from(message: pb.Topology) -> Segment:
    """One place."""
    return Segment.of(message.segments)


def segment_to(segment: Segment) -> pb.Topology:
    return pb.Topology(segments=segment.to_map())


def topology_from(message: pb.TopologyRequirement) -> Topology:
    """Where a volume must be usable, and where best."""
    return Topology(
        requisite=tuple(map(segment_from, message.requisite)),
        preferred=tuple(map(segment_from, message.preferred)),
    )


def _fs_from(name: str) -> FsType | None:
    if not name:
        return None
    try:
        return FsType(name)
    except ValueError as error:
        known = ", ".join(fs.value for fs in FsType)
        raise InvalidRequest(f"fs_type {name!r} is not offered; use one of {known}") from error
