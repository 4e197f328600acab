"""Access modes and capabilities: what a volume may be used for, and by how many (csi.md 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from csi_driver.errors import InvalidRequest


class AccessMode(IntEnum):
    """CSI ``VolumeCapability.AccessMode.Mode``; the numbers are the wire's."""

    SINGLE_NODE_WRITER = 1
    SINGLE_NODE_READER_ONLY = 2
    MULTI_NODE_READER_ONLY = 3
    MULTI_NODE_SINGLE_WRITER = 4
    MULTI_NODE_MULTI_WRITER = 5
    SINGLE_NODE_SINGLE_WRITER = 6
    SINGLE_NODE_MULTI_WRITER = 7

    @property
    def many_nodes(self) -> bool:
        """Whether more than one node may hold the volume at once."""
        return self in (
            AccessMode.MULTI_NODE_READER_ONLY,
            AccessMode.MULTI_NODE_SINGLE_WRITER,
            AccessMode.MULTI_NODE_MULTI_WRITER,
        )

    @property
    def reader_only(self) -> bool:
        """Whether nobody may write under this mode, whatever ``readonly`` says."""
        return self in (AccessMode.SINGLE_NODE_READER_ONLY, AccessMode.MULTI_NODE_READER_ONLY)


class FsType(StrEnum):
    """The file systems that a storage node makes."""

    EXT4 = "ext4"
    XFS = "xfs"


class AccessType(StrEnum):
    """As a mounted file system, or as a raw block device."""

    MOUNT = "mount"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Capability:
    """One CSI ``VolumeCapability``. ``fs`` is None for block, and for a mount that leaves the choice open."""

    mode: AccessMode
    access: AccessType
    fs: FsType | None = None
    mount_flags: tuple[str, ...] = ()


SUPPORTED: frozenset[tuple[AccessType, AccessMode]] = frozenset(
    {
        *((access, mode) for access in AccessType for mode in AccessMode if not mode.many_nodes),
        *((access, AccessMode.MULTI_NODE_READER_ONLY) for access in AccessType),
        (AccessType.BLOCK, AccessMode.MULTI_NODE_MULTI_WRITER),
    }
)
"""What is offered (csi.md 1.1). No file system of ours stands a second node that writes; a single writer among
several nodes is a mode that Kubernetes never asks for."""


def check_supported(capability: Capability) -> None:
    """Raise InvalidRequest, naming what is wrong, unless a volume can be used so."""
    if (capability.access, capability.mode) in SUPPORTED:
        return
    raise InvalidRequest(
        f"access mode {capability.mode.name} with {capability.access.value} access is not offered: several nodes may "
        "read a file system (ReadOnlyMany) or write a raw block volume (ReadWriteMany, volumeMode Block); for one "
        "node use ReadWriteOnce or ReadWriteOncePod"
    )
