"""What every verb of the controller is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from csi_driver.control.cluster import ClusterPort
from csi_driver.control.reservations import Attempts, Reservations
from csi_driver.control.tallies import Tallies
from csi_driver.fleet.fleet import Fleet
from csi_driver.kit.jobs import Jobs
from csi_driver.model import ids
from csi_driver.scheduler.decide import Scheduler


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds for what must not hold up a verb."""

    look: float = 5.0
    """For one agent to say what it has of a name; who takes longer counts as silent."""
    release: float = 3.0
    """For a consumer to forget what is fenced already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The world of the controller's verbs. What it remembers itself only saves work: any of it may be lost."""

    fleet: Fleet
    scheduler: Scheduler = field(default_factory=Scheduler)
    patience: Patience = field(default_factory=Patience)
    draw_copy: Callable[[], str] = ids.draw_copy
    reservations: Reservations = field(default_factory=Reservations)
    attempts: Attempts = field(default_factory=Attempts)
    jobs: Jobs = field(default_factory=Jobs)
    """Creations that run in this process, by the key of the name."""
    cutting: set[str] = field(default_factory=set)
    """Keys of the names of snapshots that are being cut by this process."""
    refused: Callable[[Iterable[str]], None] = lambda _: None
    """Counts refusals, by the names of their filters."""
    cluster: ClusterPort | None = None
    """Kubernetes, where there is one."""
    tallies: Tallies = field(default_factory=Tallies)
