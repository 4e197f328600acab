"""What was decided, and why: first-class, for errors, events and ``clinker explain``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from csi_driver.model.sizes import show
from csi_driver.scheduler.request import PoolView, Request

FITS = 800
"""Characters of ``why``: an event holds 1024, and external-provisioner puts some words before ours."""
NEXT = 3
"""Of the pools that would do after the best one, how many ``why`` names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A pool that will do. ``weights`` are the normalised ones by weigher, ``weight`` their weighted sum."""

    view: PoolView
    size: int
    """Bytes that the volume would get here."""
    weight: float
    weights: Mapping[str, float]


class Refusal(NamedTuple):
    """A pool that will not do. A tuple, as there are thousands of them."""

    pool: str
    """``node/pool``."""
    filter: str
    """Name of the filter that refused."""
    reason: str

    def __str__(self) -> str:
        return f"{self.pool}: {self.reason}"


class Refusals(Sequence[Refusal]):
    """By pool. Each is described when it is looked at: mostly none is."""

    def __init__(self, refused: Sequence[tuple[str, Sequence[PoolView], Sequence[str]]] = ()) -> None:
        """``refused``: for each filter its pools, and its reasons in the same order."""
        self._refused = refused
        self._described: list[Refusal] | None = None

    def __len__(self) -> int:
        return sum(len(views) for _, views, _ in self._refused)

    @overload
    def __getitem__(self, index: int) -> Refusal: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Refusal]: ...

    def __getitem__(self, index: int | slice) -> Refusal | Sequence[Refusal]:
        if self._described is None:
            described = [
                Refusal(view.name, name, reason)
                for name, views, reasons in self._refused
                for view, reason in zip(views, reasons, strict=True)
            ]
            self._described = sorted(described)
        return self._described[index]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """All pools, best first, and those refused, by name."""

    request: Request
    candidates: Sequence[Candidate]
    refusals: Sequence[Refusal]

    @property
    def why(self) -> str:
        """One line for people, of ``FITS`` characters at most."""
        wanted = f"{show(self.request.size)} {self.request.layout}"
        parts = []
        if self.candidates:
            best, *rest = self.candidates[: NEXT + 1]
            terms = " ".join(f"{name} {value:.2f}" for name, value in best.weights.items())
            parts.append(f"{wanted}: {best.view.name} is best ({terms or 'nothing speaks for another'})")
            if rest:
                more = len(self.candidates) - NEXT - 1
                also = f" and {more} more" if more > 0 else ""
                parts.append(f"then {', '.join(each.view.name for each in rest)}{also}")
        else:
            parts.append(f"no pool can hold {wanted}")
        if not self.candidates and not self.refusals:
            parts.append("no node reports a pool")
        head = "; ".join(parts)
        told = shorten(self.refusals, FITS - len(head) - 2)
        return (f"{head}; {told}" if told else head)[:FITS]


def shorten(refusals: Sequence[Refusal], room: int) -> str:
    """What fits into ``room`` characters: pools of one reason together; of the rest, how many each filter refused."""
    by_reason: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        by_reason.setdefault(refusal.reason, []).append(refusal)
    texts = [(_together(group), group) for group in by_reason.values()]
    said, left = "", list(refusals)
    for number, (text, _) in enumerate(texts):
        longer = f"{said}; {text}" if said else text
        others = [refusal for _, rest in texts[number + 1 :] for refusal in rest]
        if len(longer) + len(_rest(others)) > room:
            break
        said, left = longer, others
    return (said + _rest(left)).removeprefix("; ")


def _together(group: Sequence[Refusal]) -> str:
    named = ", ".join(refusal.pool for refusal in group[:3])
    more = f" and {len(group) - 3} more" if len(group) > 3 else ""
    return f"{named}{more}: {group[0].reason}"


def _rest(refusals: Sequence[Refusal]) -> str:
    if not refusals:
        return ""
    counts = Counter(refusal.filter for refusal in refusals)
    return f"; {len(refusals)} more refused ({', '.join(f'{name} {count}' for name, count in counts.most_common())})"
