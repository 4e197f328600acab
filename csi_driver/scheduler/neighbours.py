"""Where the things are that a new volume should be near to, or apart from: found by the controller, plain data here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """What two volumes share when they are together."""

    NODE = "node"
    POOL = "pool"
    ZONE = "zone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """Something named by a hint. ``places`` are nodes, ``node/pool``s or zones, as its scope is; none when it is
    nowhere yet.
    """

    what: str
    """For people: ``claim shop/db-0``."""
    places: frozenset[str]
    scope: Scope = Scope.NODE


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """All hints of one request."""

    same: tuple[Neighbour, ...] = ()
    """It must share a place with each of them."""
    different: tuple[Neighbour, ...] = ()
    """It must share one with none of them."""
    near: tuple[Neighbour, ...] = ()
    """It would be well to share one. Of scope NODE always."""


NO_HINTS = Hints()
