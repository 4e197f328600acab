"""The agent's watch over its thin pools: extended before they fill, with what is left to the group."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from csi_driver.agent import claim
from csi_driver.agent.context import AgentContext
from csi_driver.agent.growth import Growth, plan, warnings
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.pools import describe
from csi_driver.agent.watch import PoolWatch
from csi_driver.errors import NoCapacity
from csi_driver.host.dm import thin_status
from csi_driver.host.doors import DmDevice, DmLine
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.pool import WhenFull
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.volume import VolumeSpec
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import Recorder
from csi_driver.testing.host import SimHost
from tests.unit.test_agent_pools import SETTINGS, THIN, group, volume

PROMISED = dataclasses.replace(SETTINGS, overcommit=3.0)


def planned(settings: PoolSettings = PROMISED, *, promised: int = 20 * GIB, free: int = 8 * GIB, **thin: Any) -> Growth:
    pool = dataclasses.replace(THIN, **thin)
    content = group(volume("vol-a", promised), thin=pool, free=free)
    return plan(settings, content, pool, describe(settings, content, "n1"))


def test_data_grows_by_a_fifth_when_four_fifths_are_used() -> None:
    assert planned(data_percent=79.9) == Growth()
    assert planned(data_percent=80.0) == Growth(data=12 * GIB)


def test_where_nothing_more_is_promised_than_there_is_data_stays() -> None:
    assert planned(data_percent=94.0, promised=10 * GIB) == Growth()
    assert planned(data_percent=94.0, promised=10 * GIB + 8 * MIB) == Growth(data=10 * GIB + 8 * MIB)


def test_the_reserve_stays_and_the_last_extents_are_taken() -> None:
    held = dataclasses.replace(PROMISED, reserve=7 * GIB)
    assert planned(held, data_percent=80.0) == Growth(data=11 * GIB)
    assert planned(dataclasses.replace(held, reserve=8 * GIB), data_percent=80.0) == Growth()
    assert planned(dataclasses.replace(PROMISED, extend_by=0.0), data_percent=99.0) == Growth()


def test_metadata_is_doubled_first_and_its_spare_with_it() -> None:
    assert planned(metadata_percent=59.9) == Growth()
    assert planned(metadata_percent=60.0, promised=GIB) == Growth(metadata=32 * MIB)
    # 24 MiB: 12 for the metadata and 12 for the spare, and nothing is left for data.
    assert planned(metadata_percent=60.0, data_percent=90.0, free=24 * MIB) == Growth(metadata=28 * MIB)
    most = 15 * GIB + 832 * MIB
    assert planned(metadata_percent=99.0, metadata_size=most) == Growth()


def test_what_cannot_be_extended_is_told() -> None:
    pool = dataclasses.replace(THIN, data_percent=85.0, metadata_percent=70.0)
    content = group(volume("vol-a", 20 * GIB), thin=pool, free=0)
    told = warnings(PROMISED, content, pool, describe(PROMISED, content, "n1"))
    assert len(told) == 2
    assert "the metadata of thin pool thin0 is 70.0 % full and cannot be extended" in told[0]
    assert "is 85.0 % full, 20 GiB are promised of its 10 GiB, and it cannot be extended" in told[1]
    assert warnings(PROMISED, group(volume("vol-a", GIB)), THIN, describe(PROMISED, group(), "n1")) == ()


def test_the_kernels_words() -> None:
    words = "1 137/1024 210/16384 - rw discard_passdown queue_if_no_space - 1024"
    status = thin_status.parse((DmLine(0, 8, "thin-pool", words),))
    assert status is not None
    assert (status.metadata_used, status.metadata_size) == (137 * 4096, 4 * MIB)
    assert (status.data_used, status.data_size, status.mode) == (210, 16384, "rw")
    assert (status.queues, status.needs_check) == (True, False)
    broken = thin_status.parse((DmLine(0, 8, "thin-pool", "Fail"),))
    assert broken is not None
    assert broken.mode == "failed"
    words = "1 137/1024 16384/16384 - out_of_data_space discard_passdown error_if_no_space needs_check 1024"
    full = thin_status.parse((DmLine(0, 8, "thin-pool", words),))
    assert full is not None
    assert (full.mode, full.queues, full.needs_check, full.data_part) == ("out_of_data_space", False, True, 1.0)
    assert thin_status.parse(()) is None
    assert thin_status.parse((DmLine(0, 8, "thin", "1 2"),)) is None


async def nobody(_: DmDevice) -> bool:
    return False


class Storage:
    """A group of 128 MiB with a thin pool of 32 MiB."""

    def __init__(self, **settings: Any) -> None:
        self.effects = Recorder()
        self.host = SimHost("n1", effects=self.effects)
        self.group = self.host.add_group("vg0", 128 * MIB, thin_pool="pool", thin_size=32 * MIB)
        self.settings = PoolSettings(name="fast", vg="vg0", thin_pool="pool", **settings)
        self.context = AgentContext(
            node="n1",
            cluster="test",
            doors=self.host.storage,
            settings=AgentSettings(),
            offer=Offer(self.host.records("offer"), (self.settings,)),
            journal=Journal(self.host.records("journal")),
            picture=Picture(),
            refers=nobody,
        )
        self.watch = PoolWatch(self.context)

    async def settle(self) -> bool:
        return await self.watch.settle(self.settings, await self.host.lvm.group("vg0"))

    async def make(self, name: str, size: int) -> str:
        key = VolumeId(volume_key(name), "aaaaaaaa")
        await claim.claim(self.context, VolumeSpec(id=key, name=name, size=size, pool="fast"))
        return f"/dev/mapper/vg0-{str(key).replace('-', '--')}"

    async def size(self) -> int:
        pool = (await self.host.lvm.group("vg0")).volume("pool")
        assert pool is not None
        return pool.size


async def test_a_pool_that_promises_more_is_extended_before_it_is_full() -> None:
    storage = Storage(overcommit=2.0)
    path = await storage.make("v", 64 * MIB)
    assert await storage.watch.look()
    assert not await storage.watch.look()
    for at in range(0, 64 * MIB, 2 * MIB):
        await storage.host.write(path, b"x" * 2 * MIB, at)
        await storage.watch.look()
    assert await storage.size() >= 64 * MIB
    assert storage.effects.names.count("lvm.grow_pool") >= 3


async def test_at_the_defaults_no_writer_can_meet_a_full_pool_and_nothing_is_extended() -> None:
    storage = Storage()
    paths = [await storage.make(f"v{number}", 4 * MIB) for number in range(8)]
    with pytest.raises(NoCapacity, match=r"thin pool: 0 bytes of 32 MiB used, 32 MiB promised at overcommit 1"):
        await storage.make("one-more", 4 * MIB)
    for path in paths:
        await storage.host.write(path, b"x" * 4 * MIB)
        await storage.watch.look()
    assert "lvm.grow_pool" not in storage.effects.names


async def test_writes_that_wait_for_room_go_on_when_it_comes() -> None:
    storage = Storage(overcommit=2.0, when_full="queue")
    assert await storage.settle()
    path = await storage.make("v", 64 * MIB)
    writer = asyncio.create_task(storage.host.write(path, b"x" * 32 * MIB))
    await writer
    late = asyncio.create_task(storage.host.write(path, b"y" * 4 * MIB, 32 * MIB))
    await asyncio.sleep(0.01)
    assert not late.done()
    await storage.watch.look()
    await late


async def test_what_a_full_pool_does_is_as_the_settings_say() -> None:
    storage = Storage(when_full="queue")
    assert await storage.settle()
    assert not await storage.settle()
    assert storage.effects.names == ["lvm.set_when_full"]
    group = await storage.host.lvm.group("vg0")
    assert describe(storage.settings, group, "n1").when_full is WhenFull.QUEUE


async def test_a_pool_that_is_not_up_or_not_there_is_left_alone() -> None:
    storage = Storage()
    assert not await storage.watch.look()
    del storage.host.machine.groups["vg0"]
    assert not await storage.watch.look()
