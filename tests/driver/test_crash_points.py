"""Every verb survives a death at every effect: repeated by its caller it ends where it would have ended without it.

For each effect of each verb, before and after it: the process is killed, or the machine's plug is pulled; it starts
again and the verb is repeated until it succeeds. Then every fact on every host is as in a life without a fault, the
data is what was written, and when the life is over nothing is left of it anywhere.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from functools import cache
from typing import get_args

import pytest

from csi_driver.testing.faults import Recorder, RepeatAt, When
from tests.driver import schedule_clock
from tests.driver.nodes import Node, NodeSpec
from tests.driver.schedule_life import COPIES, KINDS, Case, Fault, How, Life, Outcome, Verb, walk
from tests.driver.world import World

VERBS: tuple[Verb, ...] = get_args(Verb)
CASES = (
    *(
        Case(layout, kind, where)
        for layout in ("thin", "thick")
        for kind in KINDS
        for where in ("local", "iscsi")
        # Thin or thick, and ext4 or xfs, are two matters: three of the four kinds of mount volume show both.
        if (layout, kind) not in (("thick", "xfs"), ("thick", "shared"))
    ),
    Case("thick", "block", "local", wipe="delete"),
    Case("thin", "block", "iscsi", cached=True),
)
POWER_VERBS: tuple[Verb, ...] = (
    *("publish", "expand", "node expand", "snapshot", "restore", "unpublish", "fence", "delete"),
)
POWER_CASES = tuple(case for case in CASES if case.kind != "xfs")
"""What a power cut leaves of ext4 and of xfs does not differ here."""
HELD = ("dm ", "mount", "session ")
"""How the facts begin that a machine without power does not keep."""
SEVERED = re.compile(r"\w+: dm VOL\.fenced\.N CLINKER-VOL-N : 0 \d+ error  opens 0")
"""The same of a volume's device that a fence has cut off."""
AT_ONCE = 20
TOTAL = 1500
"""Fewer points than these have to be explained: the test must not shrink unseen."""


@cache
def reference(case: Case, verb: Verb) -> Outcome:
    """The life without a fault."""
    return schedule_clock.run(walk(case, verb))


def points(how: How, verb: Verb) -> list[tuple[Case, Fault]]:
    """Every place for a fault in a verb."""
    if how == "power" and verb not in POWER_VERBS:
        return []
    # To lose power after an effect is to lose it before the next one: only the first one has a before of its own.
    return [
        (case, Fault(node, number, when, how))
        for case in (CASES if how == "kill" else POWER_CASES)
        # The owner's own stage of a shared volume goes down with it, and comes back as large as the volume is then.
        if not (how == "power" and verb == "expand" and case.shared and case.where == "local")
        if verb not in COPIES or (case.layout == "thin" and not case.shared)
        for node, effects in reference(case, verb).effects.items()
        for number in range(1, len(effects) + 1)
        for when in _moments(how, number)
    ]


def _moments(how: How, number: int) -> Iterable[When]:
    return ("before", "after") if how == "kill" or number == 1 else ("after",)


async def trouble(verb: Verb, case: Case, fault: Fault) -> str:
    """What is wrong after this fault; empty when nothing is."""
    kind = f"{case.kind} cached" if case.cached else case.kind
    where = f"{verb}, {case.layout} {kind} {case.where} {case.wipe}, {fault.how} {fault.when} effect {fault.number}"
    name, subject = reference(case, verb).effects[fault.node][fault.number - 1]
    where = f"{where} ({name} {subject}) on {fault.node}"
    try:
        outcome = await walk(case, verb, fault)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
        return f"{where}: {type(error).__name__}: {error}"
    expected = reference(case, verb).state
    if not outcome.hit:
        return f"{where}: the fault met nothing"
    missing, more = sorted(set(expected) - set(outcome.state)), sorted(set(outcome.state) - set(expected))
    if (fault.how, verb) == ("power", "fence"):
        # What the fenced pod still held is gone with its machine.
        missing = [fact for fact in missing if not fact.startswith(tuple(f"{fault.node}: {each}" for each in HELD))]
        # Its stage stands, so its device does, cut off, though nobody has it open any more.
        more = [fact for fact in more if not SEVERED.fullmatch(fact)]
    return f"{where}: missing {missing}, too much {more}" if missing or more else ""


async def all_trouble(verb: Verb, tried: list[tuple[Case, Fault]]) -> list[str]:
    """Of all points; some walk at the same time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(case: Case, fault: Fault) -> str:
        async with gate:
            return await trouble(verb, case, fault)

    return [each for each in await asyncio.gather(*(one(*point) for point in tried)) if each]


@pytest.mark.parametrize("verb", VERBS)
def test_a_death_at_any_effect_leaves_no_trace(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    ways: tuple[How, ...] = ("kill", "power") if verb in POWER_VERBS else ("kill",)
    for how in ways:
        tried = points(how, verb)
        found = schedule_clock.run(all_trouble(verb, tried))
        with capsys.disabled():
            print(f"\n{verb}: {len(tried)} crash points ({how}), {len(tried) - len(found)} converged", end="")
        assert found == []


def test_enough_points_are_tried(capsys: pytest.CaptureFixture[str]) -> None:
    total = sum(len(points(how, verb)) for how in ("kill", "power") for verb in VERBS)
    with capsys.disabled():
        print(f"\n{total} crash points in all", end="")
    assert total >= TOTAL


@pytest.mark.parametrize("name", ["a", "b"])
def test_any_effect_may_run_twice(name: str) -> None:
    case = Case("thin", "ext4", "iscsi")

    class Repeating(Life):
        """Does one effect of one verb twice."""

        number = 0

        def layer(self, node: Node) -> Recorder:
            return RepeatAt(self.number if node.spec.name == name else 0)

    async def twice(verb: Verb, number: int) -> tuple[str, ...]:
        async with World.of(NodeSpec(name="a", overcommit=4.0), NodeSpec(name="b", size=0)) as world:
            life = Repeating(world, case, verb, None)
            life.number = number
            await life.run()
            return (*await world.cleaned(), *world.network.violations)

    for verb in VERBS:
        for number in range(1, len(reference(case, verb).effects[name]) + 1):
            assert schedule_clock.run(twice(verb, number)) == (), (verb, number)
