"""The one place that starts processes.

No shell, standard output and error apart, a limit in time, and secrets only by standard input.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from csi_driver.errors import CommandFailed, InternalError, StillWorking

log = logging.getLogger(__name__)

GRACE = 5.0
"""Seconds between asking a process group to end and making it end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. ``timeout`` is seconds; ``ok`` the exit statuses that are answers and not failures."""

    argv: tuple[str, ...]
    timeout: float = 60.0
    stdin: bytes = field(default=b"", repr=False)
    ok: frozenset[int] = frozenset({0})


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended."""

    status: int
    stdout: str
    stderr: str


class Runner(Protocol):
    """The door to other programs."""

    async def run(self, command: Command) -> Result:
        """Run it to its end.

        Raises CommandFailed on a status that is not in ``ok``, StillWorking when the time is up and the process
        was ended (what it had begun may be half done: look before you act), InternalError when it is missing.
        """
        ...


class HostRunner:
    """Starts real processes. ``prefix`` goes before each argv: the way into the host's namespaces, or nothing."""

    def __init__(self, prefix: tuple[str, ...] = (), environment: Mapping[str, str] | None = None) -> None:
        self._prefix = prefix
        self._environment = {**os.environ, "LC_ALL": "C", **(environment or {})}

    async def run(self, command: Command) -> Result:
        """See ``Runner.run``."""
        argv = self._prefix + command.argv
        log.debug("run", extra={"argv": argv})
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            raise InternalError(f"the program {argv[0]} is not installed on this host") from error
        try:
            out, err = await asyncio.wait_for(process.communicate(command.stdin), command.timeout)
        except TimeoutError as error:
            raise StillWorking(f"{command.argv[0]} did not end within {command.timeout:.0f} s") from error
        finally:
            await _end(process)
        status = process.returncode if process.returncode is not None else -signal.SIGKILL
        result = Result(status, out.decode(errors="replace"), err.decode(errors="replace"))
        if status not in command.ok:
            raise CommandFailed(command.argv[0], status, result.stderr or result.stdout)
        return result


async def _end(process: asyncio.subprocess.Process) -> None:
    """Leave nothing of the process group running: asked first, then made to (also on cancellation)."""
    if process.returncode is not None:
        return
    for sign, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            await asyncio.wait_for(asyncio.shield(process.wait()), patience)
        except TimeoutError:
            continue
        break
