"""Process 1 of a lab's own process and network namespace: starts the hosts, forwards their sockets.

It ends, and takes everything with it, when it is told to, when the lab's owner dies (it watches the
owner's pidfd), and, by the kernel, when it is killed itself. Started by `control.start`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab import network
from tests.lab.errors import LabError
from tests.lab.guest import wire
from tests.lab.relay import Relay

END_LIMIT = 10.0
"""Seconds that a killed host may take to disappear."""


@dataclass
class Running:
    """A host's processes: the kernel and whatever it started, all in one session."""

    leader: int
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """Obeys requests of one line of JSON each; see OPERATIONS at the end of `_obey`."""

    def __init__(self, folder: Path, log_dir: Path | None) -> None:
        self._folder, self._log_dir = folder, log_dir
        self._running: dict[str, Running] = {}
        self._relays: dict[str, Relay] = {}
        self._stopped = asyncio.Event()

    async def serve(self, owner: int | None) -> None:
        """Until told to stop, or until the owner's pidfd says that it ended."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        if owner is not None:
            loop.add_reader(owner, self._stopped.set)
        await asyncio.start_unix_server(self._accept, self._folder / "lab.sock")
        await self._stopped.wait()
        if owner is not None:
            loop.remove_reader(owner)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            request: dict[str, Any] = json.loads(await reader.readline())
            try:
                answer = await self._obey(request)
            except (OSError, LabError, TimeoutError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            writer.write(wire.encode(answer))
            await writer.drain()

    async def _obey(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["op"]:
            case "start":
                self._start(request["host"], request["argv"], Path(request["console"]))
            case "kill":
                await self._kill(request["host"])
            case "signal":
                _signal_session(self._running[request["host"]].leader, request["signal"])
            case "alive":
                return {"alive": request["host"] in self._running}
            case "forward":
                await self._forward(request)
            case "stop":
                self._stopped.set()
            case unknown:
                return {"error": f"no operation {unknown!r}"}
        return {}

    def _start(self, host: str, argv: list[str], console: Path) -> None:
        if host in self._running:
            raise LabError(f"{host} is running already")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        leader = os.posix_spawn(
            argv[0],
            argv,
            {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR": str(self._folder), "HOME": str(self._folder)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(console), flags, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        self._running[host] = Running(leader)

    async def _kill(self, host: str) -> None:
        running = self._running.get(host)
        if running is None:
            return
        _signal_session(running.leader, signal.SIGKILL)
        async with asyncio.timeout(END_LIMIT):
            await running.ended.wait()

    async def _forward(self, request: dict[str, Any]) -> None:
        host = request["host"]
        relay = self._relays.setdefault(host, Relay(request["address"], request["port"]))
        await relay.listen(Path(request["path"]), request["ask"], request["mode"], request["owner"])

    def _reap(self) -> None:
        """Collect every ended process, the hosts' orphans too: process 1 is their parent."""
        with contextlib.suppress(ChildProcessError):
            while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
                self._collected(pid)

    def _collected(self, pid: int) -> None:
        for host, running in list(self._running.items()):
            if running.leader == pid:
                _signal_session(pid, signal.SIGKILL)
                del self._running[host]
                running.ended.set()
                if host in self._relays:
                    self._relays[host].drop()

    def clean_up(self) -> None:
        """Kill what still runs here, keep the logs that are to be kept, remove the lab's folder."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()
        if self._log_dir is not None:
            shutil.copytree(self._folder / "logs", self._log_dir, dirs_exist_ok=True)
        shutil.rmtree(self._folder, ignore_errors=True)


def _signal_session(leader: int, number: int) -> None:
    """Signal every process whose session the leader began; a host's helpers may leave its group."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _session(entry) == leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), number)


def _session(process: Path) -> int | None:
    try:
        after_name = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it ended meanwhile
        return None
    return int(after_name[3])


def main(arguments: list[str]) -> None:
    """`folder log-dir|- pidfd|- tap...`."""
    folder, log_dir, owner, *taps = arguments
    network.make(taps)
    supervisor = Supervisor(Path(folder), None if log_dir == "-" else Path(log_dir))
    try:
        asyncio.run(supervisor.serve(None if owner == "-" else int(owner)))
    finally:
        supervisor.clean_up()


if __name__ == "__main__":
    main(sys.argv[1:])
