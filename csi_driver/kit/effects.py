"""The effect layer: every change to the world has a name and passes here (DESIGN 7).

A door's method that changes something is marked ``@effect("dm.create")``. In production the layer does nothing
but count. A test hands in its own ``Effects`` and can then record, kill, fail, delay or repeat at each one; the
real doors and the simulated ones carry the same marks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar


class Effects:
    """Performs each effect once and at once; the base of those that tests hand in."""

    async def perform(self, name: str, subject: str, act: Callable[[], Awaitable[object]]) -> object:
        """Run ``act``, the effect ``name`` on ``subject``, and return what it returns.

        ``subject`` is the first argument of the door's method as text: what is changed. Overriders may raise
        before or after ``act``, call it twice, or wait.
        """
        return await act()


class HasEffects(Protocol):
    """What a door must carry for its methods to be marked."""

    @property
    def effects(self) -> Effects:
        """The layer handed to this door."""
        ...


S = TypeVar("S", bound=HasEffects)
P = ParamSpec("P")
R = TypeVar("R")


def effect(
    name: str,
) -> Callable[[Callable[Concatenate[S, P], Awaitable[R]]], Callable[Concatenate[S, P], Coroutine[Any, Any, R]]]:
    """Mark an async method of a door as the effect ``name``, ``<door>.<verb>``."""

    def mark(
        method: Callable[Concatenate[S, P], Awaitable[R]],
    ) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
        async def perform(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            subject = str(args[0]) if args else ""
            # perform hands back what the method returned
            return await self.effects.perform(  # type: ignore[return-value]
                name, subject, lambda: method(self, *args, **kwargs)
            )

        update_wrapper(perform, method)
        return perform

    return mark
