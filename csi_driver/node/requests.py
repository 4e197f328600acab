"""What the node plugin is asked and what it answers, without protobuf.

``rpc`` builds these and has checked that every field which CSI marks REQUIRED is there. What a field may hold is
checked here in the node package. ``volume`` is the id as it came: an id of unknown form names nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_driver.model.access import Capability
from csi_driver.model.volume import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRequest:
    """NodeStageVolume: make the volume ready on this node, mounted at ``staging_path`` unless it is a block one."""

    volume: str
    staging_path: str
    capability: Capability
    publish_context: Mapping[str, str] = field(default_factory=dict)
    volume_context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnstageRequest:
    """NodeUnstageVolume: take away all that a stage has made, finished or not."""

    volume: str
    staging_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BindRequest:
    """NodePublishVolume: show the staged volume at ``target_path``. Without a staging path it is refused."""

    volume: str
    staging_path: str
    target_path: str
    capability: Capability
    readonly: bool = False
    publish_context: Mapping[str, str] = field(default_factory=dict)
    volume_context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnbindRequest:
    """NodeUnpublishVolume: take the volume away from ``target_path``, and the path itself."""

    volume: str
    target_path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandRequest:
    """NodeExpandVolume. ``capability`` may be missing (csi.md 1.8)."""

    volume: str
    volume_path: str
    limits: Limits = field(default_factory=Limits)
    staging_path: str = ""
    capability: Capability | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsRequest:
    """NodeGetVolumeStats; ``volume_path`` is a staging or a target path."""

    volume: str
    volume_path: str
    staging_path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """Use of a volume in bytes. ``used`` and ``available`` are None for a block volume: only its size is known."""

    total: int
    used: int | None = None
    available: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inodes:
    """Use of a file system in inodes."""

    total: int
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeStats:
    """The answer to NodeGetVolumeStats; ``inodes`` is None for a block volume."""

    bytes: Bytes
    inodes: Inodes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeInfo:
    """The answer to NodeGetInfo. ``max_volumes`` 0: no limit."""

    node: str
    max_volumes: int
    segments: Mapping[str, str]
