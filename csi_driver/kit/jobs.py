"""Jobs: work that outlives the RPC which asked for it, one at a time for each key.

A retry of the same request joins the running job; another request for the same key is refused with Busy. The
first caller's deadline or cancellation ends only its wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from csi_driver.errors import Busy, Unavailable
from csi_driver.kit import deadline

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """A running piece of work. ``started`` is monotonic seconds."""

    key: str
    verb: str
    request: Hashable
    task: asyncio.Task[Any]
    started: float


class Jobs:
    """The running jobs of one process."""

    def __init__(self) -> None:
        self._running: dict[str, Job] = {}
        self._closing = False

    async def run(self, key: str, verb: str, request: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``work`` returns, started now or by an earlier caller with the same verb and request.

        Raises Busy when other work on ``key`` is running, StillWorking when the caller's deadline comes first,
        Unavailable when the process is stopping.
        """
        job = self._running.get(key)
        if job is None:
            job = self._start(key, verb, request, work)
        elif (job.verb, job.request) != (verb, request):
            seconds = time.monotonic() - job.started
            raise Busy(f"{key}: {job.verb} has been running for {seconds:.0f} s; {verb} has to wait")
        try:
            result: T = await deadline.within(job.task, f"{key}: {verb}")
        except asyncio.CancelledError:
            caller = asyncio.current_task()
            if job.task.cancelled() and not (caller and caller.cancelling()):
                raise Unavailable("this process is stopping; ask again") from None
            raise
        return result

    def _start(self, key: str, verb: str, request: Hashable, work: Callable[[], Coroutine[Any, Any, T]]) -> Job:
        if self._closing:
            raise Unavailable("this process is stopping; ask again")
        task = asyncio.create_task(work(), name=f"{verb} {key}")
        job = Job(key, verb, request, task, time.monotonic())
        self._running[key] = job
        task.add_done_callback(lambda _: self._ended(job))
        return job

    def _ended(self, job: Job) -> None:
        del self._running[job.key]
        if not job.task.cancelled() and (error := job.task.exception()) is not None:
            # Retrieved here too: the caller may be long gone, and an error nobody saw must still be in the log.
            log.info("job failed", extra={"key": job.key, "verb": job.verb, "error": str(error)})

    def running(self) -> tuple[Job, ...]:
        """The jobs of this moment."""
        return tuple(self._running.values())

    def abandon(self) -> None:
        """Take no new job and end the running ones where they are: for work that anyone may take up from there."""
        self._closing = True
        for job in self.running():
            job.task.cancel()

    async def drain(self) -> None:
        """Take no new job and return when the last running one has ended, however it ends."""
        self._closing = True
        while tasks := [job.task for job in self._running.values()]:
            await asyncio.wait(tasks)
