"""Processes that a process tree starts, seen by strace: every one, however short its life."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.lab import Host
from tests.lab.process import GuestProcess
from tests.lab.waiting import eventually

CALLS = "fork,vfork,execve,clone,clone3"
_MADE = re.compile(r"^(?:\d+ +)?(fork|vfork|clone|clone3)\(")
_FAILED = re.compile(r"\b(?:fork|vfork|clone|clone3)(?:\(| resumed>).*= (?:-1|\?)")
_RAN = re.compile(r'^(?:\d+ +)?execve\("([^"]+)".*(?:= 0$|<unfinished)')
"""Not those that failed: a program is looked for in one folder of PATH after the other."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What strace wrote down: processes made (threads do not count) and the programs they became."""

    started: int
    programs: tuple[str, ...]


def read_trace(lines: Iterable[str]) -> Seen:
    """Count in strace's lines. A call that another interrupts is two lines, of which the first counts; one that
    failed, or that the kernel makes again after a signal, does not.
    """
    started, programs = 0, []
    for line in lines:
        if _MADE.match(line) and "CLONE_THREAD" not in line:
            started += 1
        if _FAILED.search(line) and "CLONE_THREAD" not in line:
            started -= 1
        ran = _RAN.match(line)
        if ran:
            programs.append(ran[1])
    return Seen(started, tuple(programs))


def tree(host: Host, pid: int) -> tuple[int, ...]:
    """A process and all below it, as of now."""
    parents: dict[int, list[int]] = {}
    for line in host.run(["ps", "-e", "-o", "ppid=,pid="]).stdout.splitlines():
        parent, child = map(int, line.split())
        parents.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return tuple(found)


class Trace:
    """strace on processes of one host, and on all that they start, until ``stop``."""

    def __init__(self, host: Host, pids: Sequence[int]) -> None:
        self.pids = pids
        self._host, self._path = host, f"/tmp/bench-{time.monotonic_ns()}.trace"
        which = [word for pid in pids for word in ("-p", str(pid))]
        argv = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-o", self._path, *which]
        self._process: GuestProcess = host.spawn(argv, name="bench-strace")
        eventually(self._attached, within=20)

    def stop(self) -> Seen:
        """What it saw. Raises when strace or a traced process is gone: then it saw too little."""
        if self._process.poll() is not None or not self._attached():
            raise AssertionError(f"{self._host.name}: the trace broke off: {self._process.log()}")
        self._process.signal(signal.SIGINT)
        self._process.wait(20)
        return read_trace(self._host.get(self._path).decode(errors="replace").splitlines())

    def _attached(self) -> bool:
        status = [f"/proc/{pid}/status" for pid in self.pids]
        lines = self._host.run(["grep", "-h", "^TracerPid", *status], check=False).stdout.splitlines()
        return len(lines) == len(status) and all(int(line.split()[1]) > 0 for line in lines)
