"""Programs of the machine that belong to a lab: in its network, and among its processes so that they end with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import Lab, leftovers, tools
from tests.lab.errors import LabError

END_LIMIT = 15.0
"""Seconds that a program may take to end after SIGTERM."""


def inside(lab: Lab, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program in the lab's network and as one of its processes, with their /proc.

    The lab's process 1 kills every process of its namespace at its end, and when it is killed itself the kernel
    does: a program that is one of them can't outlive the lab. The supervisor that is known is unshare(1), which is
    itself outside: its children are inside.
    """
    claim = leftovers.read_claim(lab.folder)
    if claim is None or claim.supervisor is None:
        raise LabError(f"the lab {lab.name} is not up")
    spaces = f"/proc/{claim.supervisor.pid}/ns"
    enter = [f"--net={spaces}/net", f"--pid={spaces}/pid_for_children", f"--mount={spaces}/mnt"]
    return [tools.find("nsenter"), *enter, "--", *argv]


class Service:
    """A program that runs in the background; can be stopped and started again."""

    def __init__(self, lab: Lab, name: str, argv: Sequence[str], logs: Path) -> None:
        self.name, self.log_path = name, logs / f"{name}.log"
        self._lab, self._argv = lab, list(argv)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; its output is added to its log."""
        if self.running:
            return
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                inside(self._lab, self._argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": tools.SYSTEM_PATH, "HOME": str(self.log_path.parent)},
                cwd="/",
                start_new_session=True,  # so that nsenter and the program, its child, get signals together
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self, *, kill: bool = False) -> None:
        """SIGTERM (or SIGKILL), and SIGKILL when it has not ended after END_LIMIT; back when it has."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL if kill else signal.SIGTERM)
        deadline = time.monotonic() + END_LIMIT
        while self._alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        self._process.wait(END_LIMIT)

    def collect(self) -> None:
        """Take note of its end, once the lab is down."""
        if self._process is not None:
            self._process.wait(END_LIMIT)

    def tail(self, lines: int = 20) -> str:
        """The end of its log."""
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _alive(self) -> bool:
        """Whether any process of its group is left: nsenter may end before the program does."""
        assert self._process is not None
        self._process.poll()
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True
