"""A process in a guest that runs in the background."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.lab.channel import QUICK, Channel
from tests.lab.errors import GuestTimeout

SLICE = 30.0
"""Seconds of one waiting request; longer waits are several."""


class GuestProcess:
    """Started by `Host.spawn`; leads a session of its own, and ends with its host at the latest."""

    def __init__(self, channel: Channel, name: str, pid: int, log: Path, log_start: int) -> None:
        self.name, self.pid = name, pid
        self.log_path = log
        """On the machine; every start under the same name adds to the same file."""
        self._channel, self._log_start = channel, log_start
        self._returncode: int | None = None

    def __repr__(self) -> str:
        return f"<{self.name} on {self._channel.name}, process {self.pid}>"

    def log(self, begin: int = 0) -> str:
        """What it printed so far to stdout and stderr, from byte `begin` of its file on; readable after a crash of its
        host too.
        """
        with self.log_path.open("rb") as log:
            log.seek(max(self._log_start, begin))
            return log.read().decode(errors="replace")

    def poll(self) -> int | None:
        """Its return code (minus the signal's number when killed), None while it runs."""
        return self._ask(0)

    returncode = poll

    def wait(self, timeout: float = 60.0) -> int:
        """Its return code; raises GuestTimeout with the end of its log after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while True:
            left = deadline - time.monotonic()
            code = self._ask(max(0.0, min(left, SLICE)))
            if code is not None:
                return code
            if left <= 0:
                raise GuestTimeout(f"{self!r} still runs after {timeout:.0f} s\n{self.log()[-2000:]}")

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or (`group`) to its whole process group; none once it has ended."""
        self._channel.request("signal", pid=self.pid, signal=int(number), group=group)

    def terminate(self, timeout: float = 10.0) -> int:
        """SIGTERM, then its return code; raises GuestTimeout as `wait` does."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self, timeout: float = 10.0) -> int:
        """SIGKILL to its whole process group, then its return code."""
        self.signal(signal.SIGKILL, group=True)
        return self.wait(timeout)

    def _ask(self, seconds: float) -> int | None:
        if self._returncode is None:
            answer, _ = self._channel.request("wait", pid=self.pid, timeout=seconds, limit=seconds + QUICK)
            self._returncode = answer["rc"]
        return self._returncode
