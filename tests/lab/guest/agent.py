"""The agent in a guest: carries out one request per TCP connection.

Requests (see `wire`): run, spawn, wait, signal, put, get, put_tree, shell, connect, ping.
A thread per connection; a failed request answers `{"error": text}`.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import socketserver
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

from tests.lab.guest import files, streams, wire

PORT = 9
BASE_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "TERM": "linux",
}
KILL_GRACE = 1.0
"""Seconds a killed process may take to end before the agent stops waiting for it."""

Reply = tuple[wire.Header, list[bytes]]
_spawned: dict[int, subprocess.Popen[bytes]] = {}


def _start(header: wire.Header, stdin: BinaryIO, out: BinaryIO, err: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        cast(list[str], header["argv"]),
        stdin=stdin,
        stdout=out,
        stderr=err,
        env={**BASE_ENVIRONMENT, **header["env"]},
        cwd="/root",
        start_new_session=True,
    )


def _await_end(process: subprocess.Popen[bytes], caller: socket.socket | None, limit: float) -> bool:
    """Wait up to `limit` seconds; False when it still runs or when the caller hung up."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if caller is not None:
            poll.register(caller, select.POLLRDHUP | select.POLLHUP)
        ready = dict(poll.poll(limit * 1000))
        if descriptor not in ready:
            return False
        process.wait()
        return True
    finally:
        os.close(descriptor)


def run(header: wire.Header, blobs: list[bytes], caller: socket.socket) -> Reply:
    """Run to its own end: outputs are files, so children that outlive it hold nothing up."""
    with (
        tempfile.TemporaryFile(dir="/run/lab") as stdin,
        tempfile.TemporaryFile(dir="/run/lab") as out,
        tempfile.TemporaryFile(dir="/run/lab") as err,
    ):
        stdin.write(blobs[0])
        stdin.seek(0)
        process = _start(header, stdin, out, err)
        ended = _await_end(process, caller, header["timeout"])
        if not ended:
            _kill_session(process.pid)
            _await_end(process, None, KILL_GRACE)
        printed = [os.pread(f.fileno(), os.fstat(f.fileno()).st_size, 0) for f in (out, err)]
    return {"rc": process.returncode, "timed_out": not ended}, printed


def _kill_session(leader: int) -> None:
    """Kill the process and everything in its process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def spawn(header: wire.Header, blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Start in the background; each write to the log reaches the machine at once (O_SYNC)."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_SYNC
    with (
        tempfile.TemporaryFile(dir="/run/lab") as stdin,
        os.fdopen(os.open(header["log"], flags, 0o644), "wb", buffering=0) as log,
    ):
        stdin.write(blobs[0])
        stdin.seek(0)
        process = _start(header, stdin, cast(BinaryIO, log), cast(BinaryIO, log))
    _spawned[process.pid] = process
    return {"pid": process.pid}, []


def wait(header: wire.Header, _blobs: list[bytes], caller: socket.socket) -> Reply:
    """The return code of a spawned process, or null when it still runs after `timeout`."""
    process = _spawned[header["pid"]]
    if process.returncode is None:
        _await_end(process, caller, header["timeout"])
    return {"rc": process.returncode}, []


def send_signal(header: wire.Header, _blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Signal a spawned process, or (`group`) its whole process group."""
    process = _spawned[header["pid"]]
    if header["group"]:
        with contextlib.suppress(ProcessLookupError):  # they have all ended
            os.killpg(process.pid, header["signal"])
    elif process.poll() is None:
        os.kill(process.pid, header["signal"])
    return {}, []


def ping(_header: wire.Header, _blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Say which boot this is."""
    return {"boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip()}, []


OPERATIONS: dict[str, Callable[[wire.Header, list[bytes], socket.socket], Reply]] = {
    "run": run,
    "spawn": spawn,
    "wait": wait,
    "signal": send_signal,
    "ping": ping,
    "put": files.put,
    "get": files.get,
    "put_tree": files.put_tree,
}
STREAMS: dict[str, Callable[[wire.Header, socket.socket], None]] = {
    "connect": streams.connect,
    "shell": streams.shell,
}


class Connection(socketserver.StreamRequestHandler):
    """One request, one answer; a stream's bytes follow its answer, never its request."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        caller = cast(socket.socket, self.request)
        header, blobs = wire.receive(cast(BinaryIO, self.rfile))
        operation = str(header.get("op"))
        try:
            if operation in STREAMS:
                STREAMS[operation](header, caller)
                return
            answer, printed = OPERATIONS[operation](header, blobs, caller)
        except (OSError, KeyError, ValueError, subprocess.SubprocessError) as error:
            answer, printed = {"error": f"{type(error).__name__}: {error}"}, []
        wire.send(caller, answer, *printed)


class Server(socketserver.ThreadingTCPServer):
    """Listens on every address of the guest."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128


def main() -> None:
    """Serve until the guest ends; a file named after this boot tells the machine it is up."""
    with Server(("", PORT), Connection) as server:
        Path(f"/host/up{os.environ['LAB_BOOT']}").touch()
        server.serve_forever()


if __name__ == "__main__":
    main()
