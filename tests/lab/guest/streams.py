"""Connections that turn into a stream of bytes: a forwarded socket, a shell.

The answer `{}` says that the stream begins; an error is answered like any other request's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import socket
import struct
import termios
import threading

from tests.lab.guest import wire

CHUNK = 1 << 16


def connect(header: wire.Header, caller: socket.socket) -> None:
    """Join the caller to a Unix socket (`unix`) or a TCP port (`tcp`) of this guest."""
    if "unix" in header:
        target = socket.socket(socket.AF_UNIX)
        target.connect(header["unix"])
    else:
        target = socket.create_connection(("127.0.0.1", header["tcp"]), timeout=5)
        target.settimeout(None)
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with target:
        wire.send(caller, {})
        back = threading.Thread(target=_pump, args=(target, caller), daemon=True)
        back.start()
        _pump(caller, target)
        back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source ends, then close the sink's writing half."""
    try:
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
        sink.shutdown(socket.SHUT_WR)
    except OSError:  # one end is gone: so is the stream
        _hang_up(source)
        _hang_up(sink)


def _hang_up(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def shell(header: wire.Header, caller: socket.socket) -> None:
    """Run a command on a terminal of its own until either end closes."""
    wire.send(caller, {})
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir("/root")
        os.environ["TERM"] = header["term"]
        os.environ["HOME"] = "/root"
        os.execvp(header["argv"][0], header["argv"])
    size = struct.pack("HHHH", header["rows"], header["columns"], 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    try:
        _join_terminal(terminal, caller)
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGHUP)
        os.waitpid(pid, 0)


def _join_terminal(terminal: int, caller: socket.socket) -> None:
    """Copy both ways until the shell ends or the caller hangs up."""
    while True:
        ready, _, _ = select.select([terminal, caller.fileno()], [], [])
        if caller.fileno() in ready:
            typed = caller.recv(CHUNK)
            if not typed:
                return
            os.write(terminal, typed)
        if terminal in ready:
            try:
                shown = os.read(terminal, CHUNK)
            except OSError:  # EIO: the last process on the terminal is gone
                return
            caller.sendall(shown)
