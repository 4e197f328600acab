"""What a snapshot is: the order that cuts it, and the fact that stands on disk."""

from __future__ import annotations

from dataclasses import dataclass

from csi_driver.model.access import AccessType, FsType
from csi_driver.model.ids import SnapshotId, VolumeId


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotSpec:
    """An order to an agent: cut this snapshot of that volume, in the volume's own pool."""

    id: SnapshotId
    name: str
    source: VolumeId
    object_namespace: str = ""
    object_name: str = ""
    """Of the VolumeSnapshot in Kubernetes, for people who look at the disks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot(SnapshotSpec):
    """A snapshot as its tags and LVM describe it. ``size`` is its source's at the cut, in bytes."""

    node: str
    vg: str
    pool: str
    size: int
    fs: FsType | None = None
    """The file system in it; None for a raw block volume's."""
    created: int = 0
    """Unix seconds of the cut."""

    @property
    def access(self) -> AccessType:
        """How its source could be used."""
        return AccessType.BLOCK if self.fs is None else AccessType.MOUNT
