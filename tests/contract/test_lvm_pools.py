"""What every ``Lvm`` and every ``Dm`` door does with a thin pool."""

from __future__ import annotations

import pytest

from csi_driver.errors import NoCapacity, NotFound
from csi_driver.host.dm import thin_status
from csi_driver.host.dm.tables import pool_name
from csi_driver.host.dm.thin_status import ThinPoolStatus
from csi_driver.host.doors import LogicalVolume
from csi_driver.model.sizes import GIB, MIB
from tests.contract.storage import MANY, Storage, devno

POOL, SIZE = "grown", 64 * MIB


pytestmark = pytest.mark.usefixtures("pool")


@pytest.fixture
async def pool(storage: Storage) -> None:
    """A thin pool of 64 MiB in the group of many disks, with one volume of 128 MiB in it."""
    await storage.lvm.create_pool(POOL, vg=MANY, size=SIZE, metadata=4 * MIB)
    await storage.lvm.create_thin("vol-a", vg=MANY, pool=POOL, size=2 * SIZE, tags=frozenset())


async def look(storage: Storage, name: str = POOL) -> LogicalVolume:
    found = (await storage.lvm.group(MANY)).volume(name)
    assert found is not None
    return found


async def status(storage: Storage) -> ThinPoolStatus:
    found = thin_status.parse(await storage.dm.status(pool_name(MANY, POOL)))
    assert found is not None
    return found


async def test_a_pool_is_made_as_ours_are(storage: Storage) -> None:
    made = await look(storage)
    assert (made.layout, made.size, made.metadata_size) == ("thin-pool", SIZE, 4 * MIB)
    assert (made.zeroing, made.data_layout, made.when_full) == (True, "linear", "queue")
    # Its metadata has a spare as large.
    group = await storage.lvm.group(MANY)
    assert group.size - group.free == SIZE + 8 * MIB


async def test_the_kernel_tells_how_full_it_is(storage: Storage) -> None:
    before = await status(storage)
    assert (before.data_used, before.data_size) == (0, SIZE // (64 << 10))
    assert before.metadata_size == 4 * MIB
    assert (before.mode, before.queues, before.needs_check) == ("rw", True, False)
    await storage.write(devno(await look(storage, "vol-a")), 0, b"x" * MIB)
    assert (await status(storage)).data_used == MIB // (64 << 10)


async def test_data_and_metadata_grow_under_a_volume(storage: Storage) -> None:
    device = devno(await look(storage, "vol-a"))
    await storage.write(device, 0, b"x" * SIZE)
    for _ in range(2):  # the second time it has the size
        await storage.lvm.grow_pool(POOL, vg=MANY, data=2 * SIZE, metadata=8 * MIB)
        grown = await look(storage)
        assert (grown.size, grown.metadata_size) == (2 * SIZE, 8 * MIB)
    now = await status(storage)
    assert (now.data_size, now.metadata_size, now.mode) == (2 * SIZE // (64 << 10), 8 * MIB, "rw")
    await storage.write(device, SIZE, b"y" * SIZE)
    assert await storage.read(device, 2 * SIZE - 4096, 4096) == b"y" * 4096
    with pytest.raises(NoCapacity):
        await storage.lvm.grow_pool(POOL, vg=MANY, data=100 * GIB)


async def test_a_full_pool_fails_writes_when_told_to_and_takes_them_again_with_room(storage: Storage) -> None:
    await storage.lvm.set_when_full(POOL, vg=MANY, fail=True)
    assert (await look(storage)).when_full == "error"
    device = devno(await look(storage, "vol-a"))
    await storage.write(device, 0, b"x" * SIZE)
    with pytest.raises(OSError, match=r"No space left|Input/output"):
        await storage.write(device, SIZE, b"y" * MIB)
    await storage.lvm.grow_pool(POOL, vg=MANY, data=2 * SIZE)
    await storage.write(device, SIZE, b"y" * MIB)
    await storage.lvm.set_when_full(POOL, vg=MANY, fail=False)
    assert (await look(storage)).when_full == "queue"


async def test_no_such_pool(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.dm.status(pool_name(MANY, "nosuch"))
    with pytest.raises(NotFound):
        await storage.lvm.grow_pool("nosuch", vg=MANY, data=SIZE)
