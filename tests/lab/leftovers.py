"""What a lab whose owner died may leave behind, and how it is found: each lab's folder says who owns it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from dataclasses import asdict, dataclass
from pathlib import Path

SHM = Path("/dev/shm")
PREFIX = "clinker-lab-"
UNFINISHED_AGE = 60.0
"""Seconds after which a folder that says nothing is nobody's."""

KILL_LIMIT = 10.0
"""Seconds that a killed supervisor may take to disappear."""


@dataclass(frozen=True)
class Process:
    """A process that can't be mistaken for a later one of the same number."""

    pid: int
    started: int
    """Clock ticks after the machine's boot."""

    @property
    def alive(self) -> bool:
        return _started(self.pid) == self.started


def process(pid: int) -> Process:
    """The living process of this number; raises ProcessLookupError when there is none."""
    started = _started(pid)
    if started is None:
        raise ProcessLookupError(f"no process {pid}")
    return Process(pid, started)


def _started(pid: int) -> int | None:
    """When a living process of this number was started; None when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


@dataclass(frozen=True)
class Claim:
    """Who a lab's folder belongs to; no owner: it stays until it is taken down."""

    owner: Process | None
    supervisor: Process | None

    @property
    def alive(self) -> bool:
        """Whether the lab is in use, or being started."""
        if self.owner is not None:
            return self.owner.alive
        return self.supervisor is not None and self.supervisor.alive


def write_claim(folder: Path, claim: Claim) -> None:
    """Put the claim into the folder, whole."""
    fresh = folder / "claim.new"
    fresh.write_text(json.dumps(asdict(claim)))
    fresh.replace(folder / "claim.json")


def read_claim(folder: Path) -> Claim | None:
    """The folder's claim; None when it has none."""
    try:
        fields = json.loads((folder / "claim.json").read_text())
    except OSError:
        return None
    return Claim(**{name: Process(**value) if value else None for name, value in fields.items()})


def folders() -> list[Path]:
    """The folders of all labs of this machine."""
    return sorted(path for path in SHM.glob(f"{PREFIX}*") if path.is_dir())


def sweep() -> list[str]:
    """End and remove the labs whose owners are dead; gives their names."""
    removed = []
    for folder in folders():
        with contextlib.suppress(FileNotFoundError):  # its supervisor removes it at this moment
            if _abandoned(folder):
                remove(folder)
                removed.append(folder.name.removeprefix(PREFIX))
    return removed


def _abandoned(folder: Path) -> bool:
    claim = read_claim(folder)
    if claim is None:
        return time.time() - folder.stat().st_mtime > UNFINISHED_AGE
    return not claim.alive


def remove(folder: Path) -> None:
    """Kill the lab's supervisor, and by that its whole process namespace, then remove its folder."""
    claim = read_claim(folder)
    if claim is not None and claim.supervisor is not None:
        _kill(claim.supervisor)
    shutil.rmtree(folder, ignore_errors=True)


def _kill(victim: Process) -> None:
    deadline = time.monotonic() + KILL_LIMIT
    while victim.alive and victim.pid != os.getpid() and time.monotonic() < deadline:
        os.kill(victim.pid, signal.SIGKILL)
        time.sleep(0.01)
