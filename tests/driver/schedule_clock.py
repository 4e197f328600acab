"""A clock that jumps: seconds that everybody sleeps cost nothing, and one seed makes one schedule.

``run(main())`` runs it on an event loop whose time moves only when nothing is left to do, straight to the next timer.
Simulated hosts use no threads and no sockets, so nothing else can wake the loop: when there is no timer either,
nothing will ever happen again, and ``Stuck`` is raised instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stuck(AssertionError):
    """Everybody waits for somebody, and no timer runs."""


class _Jumping(selectors.DefaultSelector):
    """Looks at files without waiting, and lets time pass instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise Stuck("all tasks wait, and no timer runs")
        if not ready and timeout is not None and timeout > 0:
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """See the module."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """What ``main`` returns, with all that it waits for done at once."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(main)
