"""Pools made of blank disks: sized by rule, nothing wiped, every crash mended."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.pools import describe
from csi_driver.agent.provide import MADE, Sizes, provide, sizes
from csi_driver.errors import InvalidRequest, NotFound
from csi_driver.host.doors import DmDevice
from csi_driver.model.sizes import GIB, MIB, TIB
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import KillAt, Killed, Recorder
from csi_driver.testing.host import SimHost
from tests.unit.test_agent_pools import group


async def nobody(_: DmDevice) -> bool:
    return False


class Storage:
    """A host with a blank disk of 1 GiB."""

    def __init__(self, **settings: Any) -> None:
        self.effects = Recorder()
        self.host = SimHost("n1", effects=self.effects)
        self.disk = self.host.machine.add_disk(GIB)
        given = {"name": "fast", "vg": "vg0", "thin_pool": "thin0", "disks": (f"/dev/{self.disk.name}",)}
        self.settings = PoolSettings(**(given | settings))

    async def provide(self) -> dict[str, str]:
        context = AgentContext(
            node="n1",
            cluster="test",
            doors=self.host.storage,
            settings=AgentSettings(),
            offer=Offer(self.host.records("offer"), (self.settings,)),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=nobody,
        )
        return await provide(context, self.host.records("plans"))

    @property
    def plans(self) -> dict[str, bytes]:
        return self.host.records("plans").read()


def test_sizes_follow_the_rules() -> None:
    settings = PoolSettings(name="fast", vg="vg0", thin_pool="thin0")
    metadata = 16 * MIB + 8 * MIB
    assert sizes(settings, group()) == Sizes(8 * GIB - 4 * metadata, metadata)
    half = dataclasses.replace(settings, thin_share=0.5, reserve=4 * GIB)
    assert sizes(half, group()) == Sizes(2 * GIB - 4 * 20 * MIB, 20 * MIB)
    huge = sizes(settings, group(free=100 * TIB))
    assert huge is not None
    assert huge.metadata == 15 * GIB + 832 * MIB
    assert sizes(settings, group(free=128 * MIB)) is None


async def test_a_blank_disk_becomes_a_pool_once() -> None:
    storage = Storage()
    assert await storage.provide() == {}
    assert await storage.provide() == {}
    assert storage.effects.names == ["state.put", "lvm.create_group", "lvm.create_pool", "state.remove"]
    made = await storage.host.lvm.group("vg0")
    assert MADE in made.tags
    pool = describe(storage.settings, made, "n1")
    assert pool.problem == ""
    assert pool.thin_free == pool.thin_size > 800 * MIB
    assert storage.plans == {}


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_death_at_any_step_is_mended(number: int, when: Any) -> None:
    expected = Storage()
    await expected.provide()
    storage = Storage()
    storage.host.effects.layer = KillAt(number, when)
    with pytest.raises(Killed):
        await storage.provide()
    storage.host.process_crash()
    assert await storage.provide() == {}
    assert await storage.provide() == {}
    await storage.host.lvm.activate("thin0", vg="vg0")
    await expected.host.lvm.activate("thin0", vg="vg0")
    assert await storage.host.lvm.group("vg0") == await expected.host.lvm.group("vg0")
    assert storage.plans == {}


async def test_a_death_between_the_disks_of_a_group_is_mended() -> None:
    """LVM labels one disk after the other, and only then the group is there."""
    storage = Storage()
    await storage.host.records("plans").put("vg0", f"/dev/{storage.disk.name}".encode())
    await storage.host.write(f"/dev/{storage.disk.name}", b"LABELONE", 512)
    assert await storage.provide() == {}


@pytest.mark.parametrize(
    ("at", "data", "words"),
    [
        (512, b"LABELONE", "it holds an LVM physical volume"),
        (0, b"a boot sector", "something is written near byte 0"),
        (GIB - 512, b"GPT's copy", "something is written near byte"),
    ],
)
async def test_a_disk_that_is_not_blank_is_left_as_it_is(at: int, data: bytes, words: str) -> None:
    storage = Storage()
    path = f"/dev/{storage.disk.name}"
    await storage.host.write(path, data, at)
    before = dict(storage.disk.store.blocks)
    problems = await storage.provide()
    assert words in problems["fast"]
    assert path in problems["fast"]
    assert storage.disk.store.blocks == before
    assert storage.effects.names == []
    with pytest.raises(NotFound):
        await storage.host.lvm.group("vg0")


async def test_a_disk_that_is_not_there_or_in_use_is_told() -> None:
    storage = Storage(disks=("/dev/nosuch",))
    assert "/dev/nosuch is not blank: cannot open it" in (await storage.provide())["fast"]
    storage = Storage()
    storage.disk.open("fs")
    assert "something has it open" in (await storage.provide())["fast"]


async def test_a_group_that_is_away_is_not_made_anew() -> None:
    storage = Storage()
    await Offer(storage.host.records("offer"), ()).found("vg0")
    assert "was here before and is not there now" in (await storage.provide())["fast"]
    assert storage.effects.names == ["state.put"]


async def test_a_group_of_someone_else_is_not_completed() -> None:
    storage = Storage()
    storage.host.add_group("vg0", 2 * GIB)
    assert "was not made by us" in (await storage.provide())["fast"]
    storage.host.machine.groups["vg0"].add_pool("thin0", GIB)
    assert await storage.provide() == {}
    assert storage.effects.names == []


async def test_a_group_without_a_thin_pool_is_made_too_and_one_too_small_is_told() -> None:
    storage = Storage(thin_pool="")
    assert await storage.provide() == {}
    assert (await storage.host.lvm.group("vg0")).volumes == ()
    storage = Storage(reserve=GIB)
    assert "too little for a thin pool" in (await storage.provide())["fast"]


@pytest.mark.parametrize("wrong", [{"thin_share": 0.0}, {"thin_share": 1.5}, {"disks": ("sdb",)}])
def test_settings_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(wrong))):
        PoolSettings(name="fast", vg="vg0", **wrong)
