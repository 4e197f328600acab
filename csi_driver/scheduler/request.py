"""What is wanted, and what there is to choose from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from csi_driver.model.parameters import Access, Choice
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import MINIMUM_VOLUME_SIZE, round_up
from csi_driver.model.topology import Topology
from csi_driver.model.volume import Layout
from csi_driver.scheduler.neighbours import Hints

Get = Callable[["Request", "PoolView"], Any]
"""A value for a request at a pool. Raises NoValue (``expression.terms``), KeyError or ArithmeticError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One capability that a pool must have. ``text`` is for people; ``met`` takes the pool's ``value``."""

    text: str
    value: Get
    met: Callable[[Any], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a class says about pools; read by ``scheduler.rules``."""

    requirements: tuple[Requirement, ...] = ()
    expression: Get | None = None
    """True where the volume may lie."""
    query: Get | None = None
    """The same, as JSON."""
    goodness: Get | None = None
    """0 to 100, or true or false."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Multipliers that replace those in force, by weigher."""
    choice: Choice = Choice.DEFAULT


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
    fs: str = ""
    """The file system that will be made; empty: none."""
    namespace: str = ""
    claim: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """The class's, as they are given: for expressions."""
    rules: Rules = Rules()
    """What the class says about pools."""
    hints: Hints = Hints()
    """Where other volumes, pods and nodes are that it should be near to or apart from."""
    attempted: Mapping[str, str] = field(default_factory=dict)
    """Pools, ``node/pool``, where this request has failed already, and how."""
    seed: str = ""
    """Of everything random: one seed, one decision."""

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
    volumes: int = 0
    """How many volumes it holds, claims included."""
    allocated: int = 0
    """The sum of their sizes in bytes."""
    name: str = field(init=False)
    """``node/pool``: how people know it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"{self.pool.node}/{self.pool.name}")

    def room(self, layout: Layout) -> int:
        """Bytes for one new volume, after what is promised; 0 if the layout is not offered."""
        pool = self.pool
        left = ((pool.thin_free if layout is Layout.THIN else pool.free(layout)) or 0) - self.reserved
        return max(0, left)  # max( ) takes twice as long, and it is asked of thousands

    def reachable(self, access: Access) -> bool:
        """Whether a volume of such a class may be used here from other nodes."""
        return self.exported and access is not Access.LOCAL
