"""How a process lives: parts up in order, down in the opposite order, for every reason to end."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from csi_driver.errors import InternalError
from csi_driver.wiring.process import run

History = list[str]


class FakePart:
    """Writes down what happens to it."""

    def __init__(self, name: str, history: History, act: Callable[[], None] = lambda: None) -> None:
        self._name, self._history, self._act = name, history, act
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        self._history.append(f"start {self._name}")
        self._act()

    async def quiesce(self) -> None:
        self._history.append(f"quiesce {self._name}")

    async def close(self) -> None:
        self._history.append(f"close {self._name}")


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail() -> None:
    raise InternalError("the port is taken")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(sign: signal.Signals) -> None:
    history: History = []
    last = FakePart("b", history, lambda: os.kill(os.getpid(), sign))
    assert await run([FakePart("a", history), last]) == 0
    assert history == ["start a", "start b", "quiesce b", "quiesce a", "close b", "close a"]


async def test_a_part_that_cannot_start_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    history: History = []
    parts = [FakePart("a", history), FakePart("b", history, fail), FakePart("c", history)]
    assert await run(parts) == 1
    assert history == ["start a", "start b", "quiesce b", "quiesce a", "close b", "close a"]
    assert "the port is taken" in str([vars(record).get("error") for record in caplog.records])


async def test_a_task_that_dies_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    history: History = []
    part = FakePart("a", history)

    async def die() -> None:
        raise RuntimeError("nobody expected this")

    part.tasks = (asyncio.create_task(die()),)
    assert await run([part]) == 1
    assert history == ["start a", "quiesce a", "close a"]
    assert "nobody expected this" in caplog.text


async def test_a_task_that_is_done_ends_nothing() -> None:
    history: History = []
    part = FakePart("a", history)

    async def finish() -> None:
        asyncio.get_running_loop().call_later(0.05, terminate)

    part.tasks = (asyncio.create_task(finish()),)
    assert await run([part]) == 0


async def test_a_signal_during_a_long_start_is_heard() -> None:
    history: History = []

    class Slow(FakePart):
        async def start(self) -> None:
            await super().start()
            await asyncio.Event().wait()

    assert await asyncio.wait_for(run([FakePart("a", history), Slow("b", history, terminate)]), 5) == 0
    assert history == ["start a", "start b", "quiesce b", "quiesce a", "close b", "close a"]


async def test_a_part_that_does_not_end_well_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    history: History = []

    class Stubborn(FakePart):
        async def close(self) -> None:
            raise InternalError("will not")

    assert await run([FakePart("a", history, terminate), Stubborn("b", history)]) == 0
    assert history[-1] == "close a"
    assert "did not stop well" in caplog.text


async def test_what_it_makes_is_for_its_own_user(tmp_path: Path) -> None:
    def make() -> None:
        (tmp_path / "made").touch()
        terminate()

    before = os.umask(0o022)
    assert await run([FakePart("a", [], make)]) == 0
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600
    assert os.umask(before) == 0o022


async def test_a_bug_at_the_start_still_stops_what_is_up() -> None:
    history: History = []

    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await run([FakePart("a", history), FakePart("b", history, bug)])
    assert history[-1] == "close a"
