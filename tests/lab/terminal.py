"""A shell in a guest on this process's terminal."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import socket
import sys
import termios
import tty
from collections.abc import Iterator

from tests.lab.host import Host

CHUNK = 1 << 16


def shell(host: Host, argv: list[str]) -> None:
    """Until the shell in the guest ends."""
    size = shutil.get_terminal_size()
    term = os.environ.get("TERM", "linux")
    stream = host.shell_stream(argv, rows=size.lines, columns=size.columns, term=term)
    with stream, _raw(sys.stdin.fileno()):
        _join(stream, sys.stdin.fileno(), sys.stdout.fileno())


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C too; nothing changes when it is no terminal."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _join(stream: socket.socket, keys: int, screen: int) -> None:
    watched = [stream.fileno(), keys]
    while True:
        ready, _, _ = select.select(watched, [], [])
        if stream.fileno() in ready:
            shown = stream.recv(CHUNK)
            if not shown:
                return
            os.write(screen, shown)
        if keys in ready:
            typed = os.read(keys, CHUNK)
            stream.sendall(typed or b"\x04")  # the end of a pipe is Ctrl-D to the shell
            if not typed:
                watched.remove(keys)
