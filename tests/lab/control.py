"""Starts a lab's supervisor and talks to it, from any process of the machine."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.lab import tools
from tests.lab.errors import LabError
from tests.lab.guest import wire
from tests.lab.image import REPOSITORY

START_LIMIT = 20.0
"""Seconds until the supervisor listens."""
REQUEST_LIMIT = 20.0
"""Seconds that any one request may take."""


class Control:
    """The supervisor of the lab in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lab.sock"

    @property
    def listening(self) -> bool:
        return self._path.exists()

    def request(self, op: str, **arguments: object) -> wire.Header:
        """Carry out one operation; raises LabError with the supervisor's words, or when it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(REQUEST_LIMIT)
                sock.connect(str(self._path))
                sock.sendall(wire.encode({"op": op, **arguments}))
                with sock.makefile("rb") as stream:
                    answer, _ = wire.receive(stream)
        except (OSError, wire.WireError) as error:
            raise LabError(f"the lab's supervisor does not answer on {self._path}: {error}") from error
        if "error" in answer:
            raise LabError(answer["error"])
        return answer


def start(folder: Path, taps: Sequence[str], log_dir: Path | None, *, detached: bool) -> subprocess.Popen[bytes]:
    """Start it in namespaces of its own; not `detached`, it ends with this process however this one ends."""
    owner = None if detached else os.pidfd_open(os.getpid())
    argv = [tools.find("unshare"), "--pid", "--net", "--mount", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    argv += ["--", sys.executable, "-m", "tests.lab.supervisor", str(folder)]
    argv += ["-" if log_dir is None else str(log_dir), "-" if owner is None else str(owner), *taps]
    try:
        with (folder / "logs" / "supervisor.log").open("wb") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
                pass_fds=() if owner is None else (owner,),
                start_new_session=True,
            )
    finally:
        if owner is not None:
            os.close(owner)
    _await_listening(process, folder)
    return process


def _await_listening(process: subprocess.Popen[bytes], folder: Path) -> None:
    control, deadline = Control(folder), time.monotonic() + START_LIMIT
    while not control.listening:
        if process.poll() is not None or time.monotonic() > deadline:
            log = folder / "logs" / "supervisor.log"
            said = log.read_text() if log.exists() else ""
            with contextlib.suppress(OSError):
                process.kill()
            raise LabError(f"the lab's supervisor did not start:\n{said}")
        time.sleep(0.01)
