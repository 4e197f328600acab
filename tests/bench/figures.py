"""What is measured: the keys, their aims, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class UnknownFigure(ValueError):
    """ONLY names a figure that there is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure; it holds when its value is not above ``aim``, in ``unit``."""

    key: str
    aim: float
    unit: str
    about: str
    digits: int = 1
    """Behind the point, where it is shown and kept. Whether it holds is judged on the exact value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What came out for ``figure`` from ``n`` samples; ``notes`` are lines for the reader."""

    figure: Figure
    value: float
    n: int
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return self.value <= self.figure.aim


CREATE_THIN_EXT4 = Figure(
    key="create_thin_ext4",
    aim=1.0,
    unit="ratio",
    digits=2,
    about="CreateVolume (thin, ext4, 1 GiB) / bare lvcreate + mkfs.ext4, medians; issue 4 aims at 0.6",
)
CREATE_THICK_BLOCK = Figure(
    key="create_thick_block",
    aim=0.5,
    unit="ratio",
    digits=2,
    about="CreateVolume (thick, block, 256 MiB) / bare lvcreate, which leaves the old tenant's data there; medians",
)
SNAPSHOT = Figure(
    key="snapshot", aim=0.5, unit="ratio", digits=2, about="CreateSnapshot / bare lvcreate -s in a process; medians"
)
RESTORE = Figure(
    key="restore",
    aim=0.6,
    unit="ratio",
    digits=2,
    about="CreateVolume from a snapshot in its pool / bare lvcreate -s in a process; medians",
)
CHAIN_100 = Figure(
    key="chain_100",
    aim=1.5,
    unit="ratio",
    digits=2,
    about="CreateSnapshot at the end of a chain of 100 snapshots and volumes / at its beginning",
)
RSS_NODE = Figure(key="rss_node", aim=60, unit="MiB", about="VmRSS of `clinker node` at rest, 10 volumes")
RSS_CONTROLLER = Figure(
    key="rss_controller", aim=120, unit="MiB", about="VmRSS of `clinker controller` at rest, 10 volumes"
)
IDLE_FORKS = Figure(
    key="idle_forks", aim=0, unit="per minute", about="processes that the driver starts at rest, 10 volumes"
)
DECISION_VS_LOOP = Figure(
    key="decision_vs_loop",
    aim=0.5,
    unit="ratio",
    digits=2,
    about="one decision over 10,000 pools, every filter and weigher on / a plain loop over dicts in Cinder's manner",
)
DECISION_EXPRESSION = Figure(
    key="decision_expression",
    aim=3,
    unit="ratio",
    digits=2,
    about="one decision over 10,000 pools with an expression / without",
)
DECISION_LINEAR = Figure(
    key="decision_linear", aim=1.3, unit="ratio", digits=2, about="time for each pool at 10,000 pools / at 100"
)
LOOK_1000 = Figure(
    key="look_1000",
    aim=5,
    unit="ratio",
    digits=2,
    about="claim, look and commit over a simulated fleet of 1,000 agents / over 10",
)
FIGURES = (
    DECISION_VS_LOOP,
    DECISION_EXPRESSION,
    DECISION_LINEAR,
    LOOK_1000,
    CREATE_THIN_EXT4,
    CREATE_THICK_BLOCK,
    SNAPSHOT,
    RESTORE,
    CHAIN_100,
    RSS_NODE,
    RSS_CONTROLLER,
    IDLE_FORKS,
)


def select(only: str, figures: Sequence[Figure] = FIGURES) -> tuple[Figure, ...]:
    """The figures that ``only`` names (``KEY,KEY``), in their usual order; all when it is empty.

    Raises UnknownFigure.
    """
    asked = {key.strip() for key in only.split(",") if key.strip()}
    unknown = asked - {figure.key for figure in figures}
    if unknown:
        known = ", ".join(figure.key for figure in figures)
        raise UnknownFigure(f"ONLY={only}: there is no {', '.join(sorted(unknown))}; there are {known}")
    return tuple(figure for figure in figures if figure.key in asked or not asked)
