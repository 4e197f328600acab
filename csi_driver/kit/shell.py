"""A child process that lives long and answers lines: one question at a time, each answered on a descriptor of its own.

The second and last place that starts processes, beside ``kit.run``. No shell; the answers come on a pipe apart from
standard output and error, which go to a file: a child must not be hurt by our death, and a pipe whose reader is gone
raises SIGPIPE in whoever prints. For the same reason nothing here ever sends a signal.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TypeVar

from csi_driver.errors import InternalError

log = logging.getLogger(__name__)
T = TypeVar("T")

CHUNK = 1 << 18
KEPT = 2000
"""Characters of what the child printed that go into an error."""


class ChildEnded(Exception):
    """The child is gone; whether it carried out the line it was asked last is not known."""


class Child:
    """One running child. Ask it from one task at a time; an ``ask`` that was given up spoils it."""

    def __init__(self, process: asyncio.subprocess.Process, answers: asyncio.StreamReader, printed: Path) -> None:
        self._process, self._answers, self._printed = process, answers, printed
        self._end = asyncio.create_task(process.wait(), name=f"end of child {process.pid}")

    @classmethod
    async def start(
        cls, argv: tuple[str, ...], *, environment: Mapping[str, str], variable: str, printed: Path
    ) -> Child:
        """Start ``argv``. The environment variable ``variable`` tells it the descriptor to answer on.

        ``environment`` is all that it gets besides. What it prints goes to the file ``printed``, begun anew.
        Raises InternalError when the program is missing.
        """
        ours, theirs = os.pipe()
        reader = os.fdopen(ours, "rb", buffering=0)
        try:
            with printed.open("wb") as output:
                process = await _spawn(argv, {**environment, variable: str(theirs)}, theirs, output)
        except FileNotFoundError as error:
            reader.close()
            raise InternalError(f"the program {argv[0]} is not installed on this host") from error
        finally:
            os.close(theirs)
        answers = asyncio.StreamReader(limit=CHUNK)
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(answers), reader)
        return cls(process, answers, printed)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not ended, as far as is known."""
        return not self._end.done()

    async def ask(self, line: str, whole: Callable[[bytes], T | None]) -> T:
        """Write ``line`` and return what ``whole`` makes of the answer.

        ``whole`` is called with all that came so far, until it returns something else than None. Raises ChildEnded
        when the child ends before; there is no limit in time.
        """
        stdin = self._process.stdin
        assert stdin is not None  # noqa: S101  # _spawn makes the pipe
        try:
            stdin.write(line.encode() + b"\n")
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise await self._ended() from error
        came = b""
        while (piece := await self._more()) is not None:
            came += piece
            answer = whole(came)
            if answer is not None:
                return answer
        raise await self._ended()

    async def _more(self) -> bytes | None:
        """The next piece of an answer; None when no more can come.

        The end of the process counts too: a grandchild may hold the pipe open for ever.
        """
        reading = asyncio.ensure_future(self._answers.read(CHUNK))
        try:
            await asyncio.wait({reading, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                # It has ended; what it wrote before lies in the pipe and is read without waiting.
                await asyncio.wait({reading}, timeout=0.1)
        finally:
            if not reading.done():
                reading.cancel()
        return reading.result() or None if reading.done() and not reading.cancelled() else None

    async def _ended(self) -> ChildEnded:
        status = await self._end
        return ChildEnded(f"process {self.pid} ended with status {status}: {self.said() or 'no message'}")

    def said(self) -> str:
        """The end of what it printed."""
        try:
            return self._printed.read_text(errors="replace").strip()[-KEPT:]
        except OSError:
            return ""

    async def close(self) -> None:
        """Close its input, which asks it to end, and wait until it has."""
        stdin = self._process.stdin
        if stdin is not None:
            stdin.close()
        await self._end


async def _spawn(
    argv: tuple[str, ...], environment: Mapping[str, str], answers: int, output: IO[bytes]
) -> asyncio.subprocess.Process:
    """In a session of its own (Ctrl-C in a terminal is not for it), SIGPIPE ignored as in every Python process."""
    log.debug("start", extra={"argv": argv})
    return await asyncio.create_subprocess_exec(  # noqa: TID251  # with kit.run one of the two homes of processes
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=output,
        stderr=output,
        env=dict(environment),
        pass_fds=(answers,),
        start_new_session=True,
        restore_signals=False,
    )
