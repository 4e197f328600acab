"""Pools: places where volumes can be made, as their agent reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from csi_driver.model.volume import Layout


class WhenFull(StrEnum):
    """What a thin pool does with writes that find no room in it."""

    QUEUE = "queue"
    """They wait for room: for ever, or as long as dm-thin's ``no_space_timeout`` says (60 s by default)."""
    ERROR = "error"
    """They fail at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of one node. All figures are bytes; free figures already count policy (overcommit, reserve).

    A pool is a volume group, with a thin pool in it or without. ``free`` tells what is left for a layout; None says
    that the layout cannot be had here.
    """

    node: str
    name: str
    vg: str
    extent: int
    """LVM extent size: volume sizes are multiples of it."""
    thin_free: int | None
    thick_free: int | None
    striped_free: int | None = None
    raid1_free: int | None = None
    raid10_free: int | None = None
    stripes: int = 2
    """Over how many disks, or pairs of disks, a striped or a raid10 volume goes."""
    thin_size: int = 0
    """Data size of the thin pool."""
    thin_used: int = 0
    """Bytes of the pool's data that hold something."""
    thin_allocated: int = 0
    """What is promised there: the virtual sizes of its volumes, and of its snapshots as ``snapshot_share`` says."""
    thin_layout: str = ""
    """How the thin pool's own data lies (``linear``, ``striped``, ``raid1`` ...); empty without one."""
    when_full: WhenFull | None = None
    metadata_size: int = 0
    metadata_used: int = 0
    group_size: int = 0
    group_free: int = 0
    """Bytes of the volume group that no logical volume has; ``thick_free`` is that less the reserve."""
    group_metadata_size: int = 0
    group_metadata_free: int = 0
    """Bytes of text that LVM can still write about the group; creates stop before it is used up."""
    overcommit: float = 1.0
    """Virtual bytes that may be promised for each byte of the thin pool's data."""
    reserve: int = 0
    """Bytes that are never given out."""
    snapshot_share: float = 1.0
    """The part of its size that a snapshot counts with."""
    problem: str = ""
    """Why nothing may be created here now, in words; empty when all is well."""
    warnings: tuple[str, ...] = ()
    """What an operator should see to, in words, although creates go on."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def free(self, layout: Layout) -> int | None:
        """Room for one new volume of ``layout``, in bytes, or None if this pool does not offer it."""
        if layout is Layout.THIN:  # the most asked for, and asked of thousands
            return self.thin_free
        return {
            Layout.THICK: self.thick_free,
            Layout.STRIPED: self.striped_free,
            Layout.RAID1: self.raid1_free,
            Layout.RAID10: self.raid10_free,
        }[layout]

    def unit(self, layout: Layout) -> int:
        """Sizes of volumes of ``layout`` are multiples of so many bytes."""
        return self.extent * (self.stripes if layout in (Layout.STRIPED, Layout.RAID10) else 1)
