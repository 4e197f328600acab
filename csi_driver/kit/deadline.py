"""How long the caller of the running RPC will wait, known to whatever runs below it.

The deadline cancels the wait, never the work (DESIGN 2): ``within`` leaves the awaited task running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from csi_driver.errors import StillWorking

T = TypeVar("T")

MARGIN = 0.2
"""Seconds kept back so that our own answer arrives before the caller gives up."""

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def expires_in(seconds: float | None) -> Iterator[None]:
    """Within this block the caller waits ``seconds`` more; None: for ever."""
    now = asyncio.get_running_loop().time()
    token = _deadline.set(None if seconds is None else now + max(seconds - MARGIN, 0.0))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining() -> float | None:
    """Seconds until we must answer, never below 0; None when nobody set a limit."""
    end = _deadline.get()
    return None if end is None else max(end - asyncio.get_running_loop().time(), 0.0)


async def within(task: asyncio.Future[T], what: str) -> T:
    """The task's result, if it comes before the deadline; else StillWorking while the task goes on.

    Cancelling the caller does not cancel the task either.
    """
    done, _ = await asyncio.wait({task}, timeout=remaining())
    if done:
        return task.result()
    raise StillWorking(f"{what} has not finished yet; ask again")
