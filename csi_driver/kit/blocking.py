"""Calls that may block for ever, each in a thread of its own.

A shared pool would fill up with threads stuck behind a dead disk. The threads are daemons, so that a hung disk
does not hold back the end of the process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from csi_driver.errors import Unavailable

T = TypeVar("T")


async def call(act: Callable[[], T], name: str = "blocking") -> T:
    """What ``act`` returns or raises. Cancelling the wait leaves the thread to end by itself."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # None only when act returned None

    def work() -> None:
        result: T | None = None
        failure: BaseException | None = None
        try:
            result = act()
        except BaseException as error:  # noqa: BLE001  # handed to the waiter, whatever it is
            failure = error
        try:
            loop.call_soon_threadsafe(settle, result, failure)
        except RuntimeError:
            return  # the loop has ended: nobody waits any more

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future


async def answer(act: Callable[[], T], what: str, *, seconds: float) -> T:
    """What ``act`` returns or raises, or Unavailable saying that ``what`` is silent after ``seconds``.

    The thread of a silent one stays behind until it is answered: do not ask the same thing again and again.
    """
    try:
        return await asyncio.wait_for(call(act, name=what), seconds)
    except TimeoutError as error:
        raise Unavailable(f"{what} has not answered within {seconds:.0f} s") from error
