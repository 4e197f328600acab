"""What was decided, and why: first-class, for errors, events and ``clinker explain``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from csi_driver.model.sizes import show
from csi_driver.scheduler.request import PoolView, Request

SHOWN = 12
"""Refusals that ``why`` spells out: it has to fit into an error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pool that will do. ``weights`` are the normalised ones by weigher, ``weight`` their weighted sum."""

    view: PoolView
    size: int
    """Bytes that the volume would get here."""
    weight: float
    weights: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pool that will not do."""

    pool: str
    """``node/pool``."""
    filter: str
    """Name of the filter that refused."""
    reason: str

    def __str__(self) -> str:
        return f"{self.pool}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All pools, best first, and those refused."""

    request: Request
    candidates: tuple[Candidate, ...]
    refusals: tuple[Refusal, ...]

    @property
    def why(self) -> str:
        """One line for people."""
        wanted = f"{show(self.request.size)} {self.request.layout}"
        parts = []
        if self.candidates:
            best, *rest = self.candidates
            terms = " ".join(f"{name} {value:.2f}" for name, value in best.weights.items())
            parts.append(f"{wanted}: {best.view.name} is best ({terms})")
            if rest:
                parts.append(f"then {', '.join(each.view.name for each in rest[:SHOWN])}")
        else:
            parts.append(f"no pool can hold {wanted}")
        parts.extend(str(refusal) for refusal in self.refusals[:SHOWN])
        if len(self.refusals) > SHOWN:
            parts.append(f"{len(self.refusals) - SHOWN} more pools refused")
        if not self.candidates and not self.refusals:
            parts.append("no node reports a pool")
        return "; ".join(parts)
