"""What is wanted, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csi_driver.model.parameters import Access
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import MINIMUM_VOLUME_SIZE, round_up
from csi_driver.model.topology import Topology
from csi_driver.model.volume import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A volume to be placed. Sizes are bytes."""

    size: int
    """What is aimed at: the size asked for, or the default."""
    least: int = MINIMUM_VOLUME_SIZE
    """Smaller will not do."""
    limit: int | None = None
    """Larger will not do."""
    layout: Layout = Layout.THIN
    access: Access = Access.PREFER_LOCAL
    pool: str = ""
    """Name of the pools that may be taken; empty: any."""
    topology: Topology = Topology()
    source: str = ""
    """``node/pool`` of what the volume is made from; empty: it begins empty."""

    def size_in(self, unit: int) -> int | None:
        """The size that a pool would make of it whose volumes are multiples of ``unit``; None when none lies between
        the bounds.
        """
        size = round_up(max(self.size, self.least), unit)
        if self.limit is not None and size > self.limit:
            size = self.limit // unit * unit
        return size if size >= self.least else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolView:
    """A pool as the fleet sees it, with the node around it."""

    pool: Pool
    silence: str = ""
    """Why its node does not answer; empty when it does."""
    withheld: str = ""
    """Why the operator wants nothing new to be made on its node; empty when it may."""
    labels: Mapping[str, str]
    """The node's topology labels."""
    exported: bool = False
    """Whether other nodes can reach what is here: the node has portals."""
    reserved: int = 0
    """Bytes promised to creates that run and that the pool's own figures do not show yet."""
    running: int = 0
    """How many such creates."""

    @property
    def name(self) -> str:
        """``node/pool``: how people know it."""
        return f"{self.pool.node}/{self.pool.name}"

    def room(self, layout: Layout) -> int:
        """Bytes for one new volume, after what is promised; 0 if the layout is not offered."""
        return max((self.pool.free(layout) or 0) - self.reserved, 0)

    def reachable(self, access: Access) -> bool:
        """Whether a volume of such a class may be used here from other nodes."""
        return self.exported and access is not Access.LOCAL
