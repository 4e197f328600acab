"""The life of a process: start its parts, wait, stop them in order.

SIGTERM and SIGINT ask for an orderly end: every server stops taking calls, then running jobs end by themselves,
however long that takes, and then everything is closed. Nothing on the data path is touched, and no lvm is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from csi_driver.errors import DriverError, Kind

log = logging.getLogger(__name__)

UMASK = 0o077
"""What a process of ours makes is for its own user: sockets, state."""
GRACE = 5.0
"""Seconds for calls that run to be answered when a server stops; their jobs go on behind them."""


class Part(Protocol):
    """Something that a process consists of."""

    async def start(self) -> None:
        """Begin; on return it is up. Raises a DriverError when it cannot be."""
        ...

    async def quiesce(self) -> None:
        """Take nothing new. Called on all parts before any is closed, started or not."""
        ...

    async def close(self) -> None:
        """End, after what runs has ended by itself. Called once, only if ``start`` was."""
        ...

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """Background work that must not die."""
        ...


async def run(parts: Sequence[Part]) -> int:
    """Start ``parts`` in order, wait for a signal, stop them in the opposite order; the exit status.

    1 when a part could not start or a task of one has died: whoever started the process starts it again.
    """
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, asked.set)
    begun: list[Part] = []
    before = os.umask(UMASK)
    try:
        return await _live(parts, begun, asked)
    finally:
        await _stop(begun)
        os.umask(before)
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(sign)


async def _live(parts: Sequence[Part], begun: list[Part], asked: asyncio.Event) -> int:
    stop = asyncio.create_task(asked.wait(), name="signal")
    start = asyncio.create_task(_start(parts, begun), name="start")
    try:
        await asyncio.wait({stop, start}, return_when=asyncio.FIRST_COMPLETED)
        if stop.done():
            log.info("stopping before everything was up")
            return 0
        if not start.result():
            return 1
        return 0 if await _watch(parts, stop) else 1
    finally:
        await _cancel(start, stop)


async def _start(parts: Sequence[Part], begun: list[Part]) -> bool:
    for part in parts:
        begun.append(part)
        try:
            await part.start()
        except DriverError as error:
            trace = error if error.kind is Kind.INTERNAL else None
            log.exception("cannot start", extra={"part": type(part).__name__, "error": str(error)}, exc_info=trace)
            return False
    log.info("ready")
    return True


async def _watch(parts: Sequence[Part], stop: asyncio.Task[bool]) -> bool:
    """Whether it was a signal that ended the wait, and no task that died."""
    watched: set[asyncio.Task[None]] = {task for part in parts for task in part.tasks}
    while True:
        done, _ = await asyncio.wait({stop, *watched}, return_when=asyncio.FIRST_COMPLETED)
        dead = [task for task in watched & done if task.cancelled() or task.exception() is not None]
        for task in dead:
            error = None if task.cancelled() else task.exception()
            log.error("a task has died: this process ends", extra={"task": task.get_name()}, exc_info=error)
        if dead or stop.done():
            log.info("stopping")
            return not dead
        watched -= done


async def _stop(begun: Sequence[Part]) -> None:
    for part in reversed(begun):
        await _quietly(part.quiesce, part)
    for part in reversed(begun):
        await _quietly(part.close, part)
    log.info("stopped")


async def _quietly(end: Callable[[], Awaitable[None]], part: Part) -> None:
    try:
        await end()
    except DriverError as error:
        log.exception("did not stop well", extra={"part": type(part).__name__, "error": str(error)})


async def _cancel(*tasks: asyncio.Task[bool]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
