"""Pools: places where volumes can be made, as their agent reports them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_driver.model.volume import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """One pool of one node. All figures are bytes; free figures already count policy (overcommit, reserve).

    A pool is a volume group, with a thin pool in it or without: thin volumes take ``thin_free``,
    thick ones ``thick_free``; None says that the layout cannot be had here.
    """

    node: str
    name: str
    vg: str
    extent: int
    """LVM extent size: volume sizes are multiples of it."""
    thin_free: int | None
    thick_free: int | None
    thin_size: int = 0
    """Data size of the thin pool."""
    thin_used: int = 0
    """Bytes of the pool's data that hold something."""
    thin_allocated: int = 0
    """Sum of the virtual sizes of its thin volumes."""
    metadata_size: int = 0
    metadata_used: int = 0
    problem: str = ""
    """Why nothing may be created here now, in words; empty when all is well."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def free(self, layout: Layout) -> int | None:
        """Room for one new volume of ``layout``, in bytes, or None if this pool does not offer it."""
        return self.thin_free if layout is Layout.THIN else self.thick_free
