"""The fault layers do what they say at the effect they say."""

import asyncio
import signal
import sys

import pytest

from csi_driver.errors import Busy, InvalidRequest
from csi_driver.kit.run import Command, HostRunner
from csi_driver.testing.faults import DelayAt, FailAt, KillAt, Killed, KillProcess, Recorder, RepeatAt, When
from csi_driver.testing.records import SimRecords


async def three(records: SimRecords) -> None:
    await records.put("a", b"1")
    await records.put("b", b"2")
    await records.remove("a")


async def test_recorder_sees_names_and_subjects_in_order() -> None:
    seen = Recorder()
    await three(SimRecords(effects=seen))
    assert seen.seen == [("state.put", "a"), ("state.put", "b"), ("state.remove", "a")]


@pytest.mark.parametrize(("when", "left"), [("before", {"a"}), ("after", {"a", "b"})])
async def test_killed_at_an_effect_and_dead_ever_after(when: When, left: set[str]) -> None:
    records = SimRecords(effects=KillAt(2, when))
    with pytest.raises(Killed):
        await three(records)
    with pytest.raises(Killed):
        await records.put("c", b"3")
    assert set(records.read()) == left


async def test_killed_is_not_an_exception_that_code_handles() -> None:
    records = SimRecords(effects=KillAt(1))

    async def careful() -> str:
        try:
            await records.put("a", b"1")
        except Exception:  # noqa: BLE001  # the widest handler that code may have
            return "handled"
        return "done"

    with pytest.raises(Killed):
        await careful()


async def test_fail_at_leaves_the_effect_undone_and_goes_on() -> None:
    records = SimRecords(effects=FailAt(1, Busy("no")))
    with pytest.raises(Busy, match="no"):
        await records.put("a", b"1")
    await records.put("b", b"2")
    assert set(records.read()) == {"b"}


async def test_delay_at_waits_for_the_event() -> None:
    event = asyncio.Event()
    layer = DelayAt(1, event)
    records = SimRecords(effects=layer)
    task = asyncio.ensure_future(records.put("a", b"1"))
    await layer.reached.wait()
    assert not records.read()
    event.set()
    await task
    assert set(records.read()) == {"a"}


async def test_repeat_at_acts_twice() -> None:
    layer = RepeatAt(2)
    done: list[int] = []

    async def act() -> None:
        done.append(1)

    for _ in range(3):
        await layer.perform("x.y", "", act)
    assert len(done) == 4


PROGRAM = """
import asyncio, sys
from csi_driver.testing.faults import KillProcess
from csi_driver.testing.records import SimRecords

async def main():
    records = SimRecords(effects=KillProcess(sys.argv[1]))
    for n in range(3):
        await records.put(str(n), b"")
        print(n, flush=True)
        await records.remove(str(n))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("plan", "printed"),
    [
        ("state.put:2:before", "0\n"),
        ("state.remove:2:after", "0\n1\n"),
        ("any:4:before", "0\n1\n"),
        ("state.put:0:before", ""),
    ],
)
async def test_kill_process_ends_this_very_process(plan: str, printed: str) -> None:
    command = Command(argv=(sys.executable, "-c", PROGRAM, plan), ok=frozenset({-signal.SIGKILL}))
    assert (await HostRunner().run(command)).stdout == printed


@pytest.mark.parametrize("plan", ["", "a", "a:b:before", "a:1:during", "a:1", ":1:before"])
def test_other_plans_are_refused(plan: str) -> None:
    with pytest.raises(InvalidRequest, match="fault_plan"):
        KillProcess(plan)
