"""What every ``Lvm`` door does with LVs over several disks."""

from __future__ import annotations

import pytest

from csi_driver.errors import NoCapacity
from csi_driver.host.doors import LogicalVolume
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Layout
from tests.contract.storage import DISKS, MANY, Storage, devno

TAGS = frozenset({"clinker.id=vol-a"})
SIZE = 64 * MIB
EXTENT = 4 * MIB


async def make(storage: Storage, layout: Layout, size: int = SIZE, stripes: int = 2) -> LogicalVolume:
    await storage.lvm.create_thick("vol-a", vg=MANY, size=size, tags=TAGS, layout=layout, stripes=stripes)
    made = (await storage.lvm.group(MANY)).volume("vol-a")
    assert made is not None
    return made


@pytest.mark.parametrize(
    ("layout", "taken"),
    [
        (Layout.STRIPED, [0, 0, SIZE // 2, SIZE // 2]),
        (Layout.RAID1, [0, 0, SIZE + EXTENT, SIZE + EXTENT]),
        (Layout.RAID10, [SIZE // 2 + EXTENT] * 4),
    ],
)
async def test_each_leg_lies_on_a_disk_of_its_own(storage: Storage, layout: Layout, taken: list[int]) -> None:
    before = await storage.lvm.group(MANY)
    assert [disk.missing for disk in before.disks] == [False] * DISKS
    lv = await make(storage, layout)
    assert (lv.layout, lv.size, lv.tags, lv.active, lv.health) == (layout.value, SIZE, TAGS, True, "")
    assert lv.sync_percent == (None if layout is Layout.STRIPED else 100.0)
    assert storage.size(devno(lv)) == SIZE
    after = await storage.lvm.group(MANY)
    assert sorted(was.free - now.free for was, now in zip(before.disks, after.disks, strict=True)) == taken
    await storage.write(devno(lv), SIZE - 4096, b"x" * 4096)
    await storage.lvm.deactivate("vol-a", vg=MANY)
    await storage.lvm.activate("vol-a", vg=MANY)
    assert await storage.read(devno((await storage.lvm.group(MANY)).volume("vol-a")), SIZE - 4096, 4096) == b"x" * 4096
    await storage.lvm.remove("vol-a", vg=MANY)
    assert (await storage.lvm.group(MANY)).disks == before.disks


@pytest.mark.parametrize("layout", [Layout.STRIPED, Layout.RAID1, Layout.RAID10])
async def test_it_grows(storage: Storage, layout: Layout) -> None:
    lv = await make(storage, layout)
    await storage.write(devno(lv), 0, b"x" * 4096)
    await storage.lvm.extend("vol-a", vg=MANY, size=2 * SIZE, metadata_only=False)
    grown = (await storage.lvm.group(MANY)).volume("vol-a")
    assert grown is not None
    assert (grown.size, storage.size(devno(grown)), grown.layout) == (2 * SIZE, 2 * SIZE, layout.value)
    assert await storage.read(devno(grown), 0, 4096) == b"x" * 4096


@pytest.mark.parametrize(("layout", "stripes"), [(Layout.STRIPED, 5), (Layout.RAID10, 3)])
async def test_too_few_disks_is_no_capacity_and_leaves_nothing(storage: Storage, layout: Layout, stripes: int) -> None:
    before = await storage.lvm.group(MANY)
    with pytest.raises(NoCapacity):
        await make(storage, layout, size=stripes * 5 * EXTENT, stripes=stripes)
    assert await storage.lvm.group(MANY) == before


async def test_too_little_room_on_each_disk_is_no_capacity(storage: Storage) -> None:
    before = await storage.lvm.group(MANY)
    with pytest.raises(NoCapacity):
        await make(storage, Layout.RAID1, size=600 * MIB)
    assert await storage.lvm.group(MANY) == before
