"""The machine's end of ``writer.py``: starts it in a guest and reads what it said."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab import Host
from tests.lab.process import GuestProcess

PROGRAM = "/tmp/clinker-writer.py"


@dataclass(frozen=True)
class Writer:
    """A process in a guest that writes records to ``path`` and fsyncs each."""

    host: Host
    path: str
    process: GuestProcess

    @classmethod
    def start(cls, host: Host, path: str, *, name: str = "writer", verb: str = "write") -> Writer:
        """Begin after the records that are there; with ``direct`` at the start of a device, and nothing is fsync'd."""
        host.put(PROGRAM, (Path(__file__).parent / "writer.py").read_bytes())
        return cls(host, path, host.spawn(["python3", PROGRAM, verb, path], name=name))

    def safe(self) -> list[int]:
        """Numbers of the records whose fsync has returned."""
        return [int(number) for number in re.findall(r"^safe (\d+) ", self.process.log(), re.MULTILINE)]

    def begun(self) -> list[int]:
        """Numbers of the records that were begun."""
        return [int(number) for number in re.findall(r"^begin (\d+) ", self.process.log(), re.MULTILINE)]

    def longest_stall(self) -> float:
        """Seconds between the begin and the fsync of the slowest record."""
        log = self.process.log()
        begins = dict(re.findall(r"^begin (\d+) (\S+)$", log, re.MULTILINE))
        ends = dict(re.findall(r"^safe (\d+) (\S+)$", log, re.MULTILINE))
        return max((float(ends[n]) - float(begins[n]) for n in ends), default=0.0)

    def error(self) -> str:
        """What the writer's system call failed with, or nothing."""
        found = re.search(r"^error (.+)$", self.process.log(), re.MULTILINE)
        return found[1] if found else ""

    def await_more(self, count: int, *, seconds: float) -> None:
        """Return when ``count`` more records are safe; raises when that takes too long or the writer ended."""
        before, until = len(self.safe()), time.monotonic() + seconds
        while len(self.safe()) < before + count:
            if self.process.poll() is not None:
                raise AssertionError(f"the writer ended: {self.process.log()[-500:]}")
            if time.monotonic() > until:
                raise AssertionError(f"no {count} records in {seconds:.0f} s, {len(self.safe()) - before} only")
            time.sleep(0.1)

    def stop(self) -> None:
        """End the writer."""
        self.process.kill()


def verify(host: Host, path: str, count: int | None = None) -> tuple[set[int], set[int]]:
    """Numbers of the records in the file, or of the first ``count``, that are good, and of those that are not."""
    host.put(PROGRAM, (Path(__file__).parent / "writer.py").read_bytes())
    counted = [] if count is None else [str(count)]
    out = host.run(["python3", PROGRAM, "check", path, *counted], timeout=120).stdout
    good = {int(number) for number in re.findall(r"^good (\d+)$", out, re.MULTILINE)}
    bad = {int(number) for number in re.findall(r"^BAD (\d+)$", out, re.MULTILINE)}
    return good, bad
