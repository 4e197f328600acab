"""Effect layers that watch, kill, fail, delay and repeat (DESIGN 7): what a test hands to a process to hurt it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

from csi_driver.errors import InvalidRequest
from csi_driver.kit.effects import Effects

When = Literal["before", "after"]
Act = Callable[[], Awaitable[object]]


class Killed(BaseException):
    """The process is dead. Not an Exception: nothing that handles errors may handle this."""


class Recorder(Effects):
    """Notes every effect, in order, as (name, subject); counts from 1."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    @property
    def names(self) -> list[str]:
        """The names only."""
        return [name for name, _ in self.seen]

    async def perform(self, name: str, subject: str, act: Act) -> object:
        """See ``Effects.perform``."""
        self.seen.append((name, subject))
        return await self.act(len(self.seen), act)

    async def act(self, number: int, act: Act) -> object:
        """What to do with effect ``number``."""
        return await act()


class KillAt(Recorder):
    """The process dies at the n-th effect, before or after it is done, and does nothing more ever after."""

    def __init__(self, n: int, when: When = "before") -> None:
        super().__init__()
        self._n, self._when = n, when
        self.dead = False

    async def act(self, number: int, act: Act) -> object:
        """See ``Recorder.act``."""
        if self.dead:
            raise Killed
        if number != self._n:
            return await self._unless_dead(act)
        if self._when == "before":
            self.dead = True
            raise Killed
        with suppress(Exception):
            # One that failed is over too, and the process dies before anyone learns of it.
            await act()
        self.dead = True
        raise Killed

    async def _unless_dead(self, act: Act) -> object:
        done = await act()
        if self.dead:
            raise Killed
        return done


class FailAt(Recorder):
    """The n-th effect raises ``error`` instead of being done."""

    def __init__(self, n: int, error: Exception) -> None:
        super().__init__()
        self._n, self._error = n, error

    async def act(self, number: int, act: Act) -> object:
        """See ``Recorder.act``."""
        if number == self._n:
            raise self._error
        return await act()


class DelayAt(Recorder):
    """The n-th effect waits for ``event``; ``reached`` is set when it has come so far."""

    def __init__(self, n: int, event: asyncio.Event) -> None:
        super().__init__()
        self._n, self._event = n, event
        self.reached = asyncio.Event()

    async def act(self, number: int, act: Act) -> object:
        """See ``Recorder.act``."""
        if number == self._n:
            self.reached.set()
            await self._event.wait()
        return await act()


class RepeatAt(Recorder):
    """The n-th effect is done twice; an error of the second time is the answer."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self._n = n

    async def act(self, number: int, act: Act) -> object:
        """See ``Recorder.act``."""
        if number == self._n:
            await act()
        return await act()


class KillProcess(Effects):
    """Kills this very process with SIGKILL, as ``Settings.fault_plan`` says: ``EFFECT:N:before|after``.

    N counts the effects of that name; with N = 0 the first effect of that name does it in every process, so that a
    process which starts again dies again. EFFECT ``any`` is every effect. Raises InvalidRequest for another plan.
    """

    def __init__(self, plan: str) -> None:
        words = plan.split(":")
        if len(words) != 3 or not words[0] or not words[1].isdigit() or words[2] not in ("before", "after"):
            raise InvalidRequest(f"fault_plan {plan!r}: must be EFFECT:N:before or EFFECT:N:after")
        self._name, self._n, self._when = words[0], int(words[1]), words[2]
        self._count = 0

    async def perform(self, name: str, subject: str, act: Act) -> object:
        """See ``Effects.perform``."""
        if not self._is_it(name):
            return await act()
        if self._when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        await act()
        os.kill(os.getpid(), signal.SIGKILL)
        raise Killed

    def _is_it(self, name: str) -> bool:
        if self._name not in (name, "any"):
            return False
        self._count += 1
        return self._n in (0, self._count)
