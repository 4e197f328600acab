"""Ten thousand calls in an order that nobody would think of, on a cluster in trouble, and every promise is kept.

``CLINKER_SEED`` plays one seed again (with ``PYTHONHASHSEED=0`` for the same order of sets); ``CLINKER_CALLS`` sets
how many calls are made in all.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections import Counter
from functools import partial

import pytest

from csi_driver.control.requests import CreateVolume
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Limits
from tests.driver import schedule_clock, schedule_view
from tests.driver.schedule_cluster import Cluster, Replica
from tests.driver.schedule_player import play
from tests.driver.world import BLOCK

CALLS = int(os.environ.get("CLINKER_CALLS", "10000"))
EACH = 500
"""Calls of one schedule: short enough to read, long enough to get into trouble."""
RACES = 300
CALM = 4
"""One schedule of so many has no trouble: then more is certain, as that a name never has two volumes."""


def test_random_schedules_break_no_promise(capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.environ.get("CLINKER_SEED") or secrets.token_hex(4)
    total: Counter[str] = Counter()
    for number in range(-(-CALLS // EACH)):
        outcomes, wrong = schedule_clock.run(play(f"{seed}.{number}", EACH, calm=number % CALM == 0))
        assert not wrong, f"seed {seed}, schedule {number}:\n{wrong}"
        total += outcomes
    calls = sum(count for what, count in total.items() if not what.startswith(("write", "trouble")))
    fine = sum(count for what, count in total.items() if what.endswith(" ok") and not what.startswith("write"))
    troubles = sum(count for what, count in total.items() if what.startswith("trouble"))
    with capsys.disabled():
        print(f"\nseed {seed}: {calls} calls, {fine} succeeded, {troubles} troubles, no promise broken", end="")
    assert calls >= CALLS
    assert fine >= CALLS // 4


async def race(seed: str, name: str) -> set[str]:
    """The ids that two controllers answered with for one name, asked at the same time until both succeed."""
    dice = random.Random(f"{seed} {name}")
    async with Cluster.drawn(dice) as world:
        await world.new_controller()

        async def create(replica: Replica) -> str:
            await asyncio.sleep(dice.random() * 0.02)
            order = CreateVolume(name=name, capabilities=(BLOCK,), limits=Limits(required=GIB))
            return (await world.until_ok(lambda: replica.controller.create_volume(order))).id

        made = set(await asyncio.gather(*map(create, world.replicas)))
        for volume in made:
            await world.until_ok(partial(world.delete, volume))
        assert schedule_view.volumes(world).keys() == set(), f"{name}: more than {made} was made"
    return made


def test_two_controllers_at_once_make_one_volume_of_a_name() -> None:
    seed = os.environ.get("CLINKER_SEED") or secrets.token_hex(4)
    for number in range(RACES):
        made = schedule_clock.run(race(seed, f"pvc-{number}"))
        assert len(made) == 1, f"seed {seed}, race {number}: {made}"
