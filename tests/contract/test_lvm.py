"""What every ``Lvm`` door does."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import Busy, CommandFailed, Incompatible, NoCapacity, NotFound
from csi_driver.host import wrapper
from csi_driver.host.doors import LogicalVolume
from csi_driver.model.sizes import GIB, MIB, SECTOR
from tests.contract.storage import POOL, POOL_SIZE, VG, Storage, devno

TAGS = frozenset({"clinker.id=vol-a", "clinker.name=pvc/a!b:c&d#e_f.g+h-i"})
SIZE = 64 * MIB


async def look(storage: Storage, name: str) -> LogicalVolume | None:
    return (await storage.lvm.group(VG)).volume(name)


async def sized(storage: Storage, name: str, size: int) -> LogicalVolume:
    lv = await look(storage, name)
    assert lv is not None
    assert lv.size == size
    return lv


async def make(storage: Storage, name: str, size: int = SIZE, tags: frozenset[str] = TAGS) -> LogicalVolume:
    await storage.lvm.create_thin(name, vg=VG, pool=POOL, size=size, tags=tags)
    made = await look(storage, name)
    assert made is not None
    return made


async def make_thick(storage: Storage, name: str, size: int = SIZE) -> LogicalVolume:
    await storage.lvm.create_thick(name, vg=VG, size=size, tags=TAGS)
    made = await look(storage, name)
    assert made is not None
    return made


async def test_group_says_what_is_there(storage: Storage) -> None:
    await storage.lvm.activate(POOL, vg=VG)
    group = await storage.lvm.group(VG)
    pool = group.volume(POOL)
    assert pool is not None
    assert (group.name, group.extent, group.missing) == (VG, 4 * MIB, 0)
    assert 3 * GIB < group.size <= 4 * GIB
    assert 0 < group.free <= group.size - POOL_SIZE
    assert group.free % group.extent == 0
    assert 0 < group.metadata_free < group.metadata_size
    assert (pool.layout, pool.size, pool.pool, pool.thin_id) == ("thin-pool", POOL_SIZE, "", None)
    assert pool.metadata_size >= 4 * MIB
    assert 0 < pool.metadata_percent < 50
    assert len(group.uuid) == len(pool.uuid) == 38


async def test_a_missing_group_is_not_found(storage: Storage) -> None:
    with pytest.raises(NotFound):
        await storage.lvm.group("nosuch")
    with pytest.raises(NotFound):
        await storage.lvm.create_thick("vol-a", vg="nosuch", size=SIZE, tags=TAGS)
    with pytest.raises(NotFound):
        await storage.lvm.remove("vol-a", vg="nosuch")


async def test_a_thin_volume_is_made_with_its_tags_and_active(storage: Storage) -> None:
    before = await storage.lvm.group(VG)
    lv = await make(storage, "vol-a")
    assert (lv.vg, lv.name, lv.size, lv.tags, lv.pool, lv.layout) == (VG, "vol-a", SIZE, TAGS, POOL, "thin")
    assert lv.active
    assert lv.thin_id is not None
    assert storage.size(devno(lv)) == SIZE
    assert (await storage.lvm.group(VG)).free == before.free


async def test_a_thick_volume_takes_room_and_gives_it_back(storage: Storage) -> None:
    before = await storage.lvm.group(VG)
    lv = await make_thick(storage, "vol-a")
    assert (lv.size, lv.tags, lv.pool, lv.layout, lv.thin_id) == (SIZE, TAGS, "", "linear", None)
    assert storage.size(devno(lv)) == SIZE
    assert (await storage.lvm.group(VG)).free == before.free - SIZE
    await storage.lvm.remove("vol-a", vg=VG)
    assert (await storage.lvm.group(VG)).free == before.free


async def test_a_new_volume_reads_as_zeros_at_its_start(storage: Storage) -> None:
    first = await make_thick(storage, "vol-a")
    await storage.write(devno(first), 0, b"x" * 4096)
    await storage.lvm.remove("vol-a", vg=VG)
    second = await make_thick(storage, "vol-b")
    assert await storage.read(devno(second), 0, 4096) == bytes(4096)


async def test_thin_volumes_share_the_pool_and_count_what_they_hold(storage: Storage) -> None:
    lv = await make(storage, "vol-a", POOL_SIZE)
    other = await make(storage, "vol-b", POOL_SIZE)
    assert lv.thin_id != other.thin_id
    assert lv.data_percent == 0
    await storage.write(devno(lv), 0, b"x" * 16 * MIB)
    for _ in range(30):  # dm-thin commits, and counts, once a second
        if await used_percent(storage) >= 1.5:
            break
        await asyncio.sleep(0.2)
    assert await used_percent(storage) == pytest.approx(100 * 16 / 1024, abs=0.1)


async def used_percent(storage: Storage) -> float:
    pool = await look(storage, POOL)
    assert pool is not None
    return pool.data_percent


async def test_a_name_is_taken_once(storage: Storage) -> None:
    first = await make(storage, "vol-a")
    with pytest.raises(Incompatible):
        await storage.lvm.create_thin("vol-a", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    with pytest.raises(Incompatible):
        await storage.lvm.create_thick("vol-a", vg=VG, size=SIZE, tags=frozenset())
    assert await look(storage, "vol-a") == first


async def test_too_large_a_thick_volume_is_no_capacity_and_leaves_nothing(storage: Storage) -> None:
    before = await storage.lvm.group(VG)
    with pytest.raises(NoCapacity):
        await storage.lvm.create_thick("vol-a", vg=VG, size=100 * GIB, tags=TAGS)
    assert await storage.lvm.group(VG) == before


async def test_no_pool_of_that_name(storage: Storage) -> None:
    with pytest.raises(CommandFailed):
        await storage.lvm.create_thin("vol-a", vg=VG, pool="nosuch", size=SIZE, tags=TAGS)
    assert await look(storage, "vol-a") is None


@pytest.mark.parametrize("tag", ["a b", "a,b", "a@b", "", "a'b", "a\nb", 'a"b'])
async def test_a_tag_that_lvm_does_not_take(storage: Storage, tag: str) -> None:
    with pytest.raises(CommandFailed):
        await storage.lvm.create_thin("vol-a", vg=VG, pool=POOL, size=SIZE, tags=TAGS | {tag})
    assert await look(storage, "vol-a") is None


@pytest.mark.parametrize("name", ["a b", "-a", "a/b", "", "a'b", "a\nlvremove", "vol_tdata"])
async def test_a_name_that_lvm_does_not_take(storage: Storage, name: str) -> None:
    before = await storage.lvm.group(VG)
    with pytest.raises(CommandFailed):
        await storage.lvm.create_thin(name, vg=VG, pool=POOL, size=SIZE, tags=TAGS)
    assert await storage.lvm.group(VG) == before


async def test_many_long_tags(storage: Storage) -> None:
    tags = frozenset(f"clinker.tag{number}={'v' * 200}" for number in range(40))
    lv = await make(storage, "vol-a", tags=tags)
    assert lv.tags == tags


async def test_tags_are_added_and_removed_in_one(storage: Storage) -> None:
    await make(storage, "vol-a", tags=frozenset({"a", "b"}))
    await storage.lvm.change_tags("vol-a", vg=VG, add=frozenset({"c", "b"}), remove=frozenset({"a", "never"}))
    lv = await look(storage, "vol-a")
    assert lv is not None
    assert lv.tags == {"b", "c"}
    with pytest.raises(NotFound):
        await storage.lvm.change_tags("nosuch", vg=VG, add=frozenset({"c"}), remove=frozenset())


async def test_removing_twice_is_not_found(storage: Storage) -> None:
    await make(storage, "vol-a")
    await storage.lvm.remove("vol-a", vg=VG)
    assert await look(storage, "vol-a") is None
    with pytest.raises(NotFound):
        await storage.lvm.remove("vol-a", vg=VG)


@pytest.mark.parametrize("kind", ["thin", "thick"])
async def test_what_is_open_is_busy_and_stays(storage: Storage, kind: str) -> None:
    lv = await (make if kind == "thin" else make_thick)(storage, "vol-a")
    with storage.hold(devno(lv)):
        with pytest.raises(Busy):
            await storage.lvm.remove("vol-a", vg=VG)
        with pytest.raises(Busy):
            await storage.lvm.deactivate("vol-a", vg=VG)
        assert await look(storage, "vol-a") == lv
    await storage.lvm.remove("vol-a", vg=VG)


async def test_what_lies_below_a_wrapper_is_busy(storage: Storage) -> None:
    lv = await make(storage, "vol-a")
    await wrapper.ensure(storage.dm, "w", uuid="CLINKER-w-1", over=devno(lv), sectors=SIZE // SECTOR)
    with pytest.raises(Busy):
        await storage.lvm.remove("vol-a", vg=VG)
    await wrapper.remove(storage.dm, "w")
    await storage.lvm.remove("vol-a", vg=VG)


async def test_a_pool_with_volumes_is_not_removed(storage: Storage) -> None:
    lv = await make(storage, "vol-a")
    with pytest.raises(Busy):
        await storage.lvm.remove(POOL, vg=VG)
    assert await look(storage, "vol-a") == lv


async def test_off_and_on(storage: Storage) -> None:
    made = await make(storage, "vol-a")
    await storage.write(devno(made), 0, b"x" * 4096)
    await storage.lvm.deactivate("vol-a", vg=VG)
    lv = await look(storage, "vol-a")
    assert lv is not None
    assert (lv.active, lv.devno, lv.size, lv.tags) == (False, None, SIZE, TAGS)
    await storage.lvm.deactivate("vol-a", vg=VG)
    await storage.lvm.activate("vol-a", vg=VG)
    lv = await look(storage, "vol-a")
    assert await storage.read(devno(lv), 0, 4096) == b"x" * 4096
    await storage.lvm.activate("vol-a", vg=VG)
    assert await look(storage, "vol-a") == lv
    with pytest.raises(NotFound):
        await storage.lvm.activate("nosuch", vg=VG)
    with pytest.raises(NotFound):
        await storage.lvm.deactivate("nosuch", vg=VG)


async def test_a_volume_can_be_removed_while_inactive(storage: Storage) -> None:
    await make(storage, "vol-a")
    await storage.lvm.deactivate("vol-a", vg=VG)
    await storage.lvm.remove("vol-a", vg=VG)
    assert await look(storage, "vol-a") is None


async def test_a_thick_volume_grows_with_its_device(storage: Storage) -> None:
    lv = await make_thick(storage, "vol-a")
    await storage.write(devno(lv), 0, b"x" * 4096)
    for _ in range(2):  # the second time it has the size
        await storage.lvm.extend("vol-a", vg=VG, size=2 * SIZE, metadata_only=False)
        lv = await sized(storage, "vol-a", 2 * SIZE)
    assert storage.size(devno(lv)) == 2 * SIZE
    assert await storage.read(devno(lv), 0, 4096) == b"x" * 4096
    with pytest.raises(NoCapacity):
        await storage.lvm.extend("vol-a", vg=VG, size=100 * GIB, metadata_only=False)
    with pytest.raises(CommandFailed):
        await storage.lvm.extend("vol-a", vg=VG, size=SIZE, metadata_only=False)
    await sized(storage, "vol-a", 2 * SIZE)
    with pytest.raises(NotFound):
        await storage.lvm.extend("nosuch", vg=VG, size=2 * SIZE, metadata_only=False)


async def test_a_thin_volume_grows_in_two_steps(storage: Storage) -> None:
    lv = await make(storage, "vol-a")
    await storage.write(devno(lv), 0, b"x" * 4096)
    for _ in range(2):
        await storage.lvm.extend("vol-a", vg=VG, size=3 * SIZE, metadata_only=True)
        lv = await sized(storage, "vol-a", 3 * SIZE)
        assert storage.size(devno(lv)) == SIZE
    for _ in range(2):
        await wrapper.thin_extend(storage.dm, vg=VG, lv="vol-a", sectors=3 * SIZE // SECTOR)
        assert storage.size(devno(lv)) == 3 * SIZE
    await storage.write(devno(lv), 3 * SIZE - 4096, b"y" * 4096)
    assert await storage.read(devno(lv), 0, 4096) == b"x" * 4096
    await storage.lvm.deactivate("vol-a", vg=VG)
    await storage.lvm.activate("vol-a", vg=VG)
    lv = await sized(storage, "vol-a", 3 * SIZE)
    assert await storage.read(devno(lv), 3 * SIZE - 4096, 4096) == b"y" * 4096


async def test_thin_extend_takes_thin_volumes_only(storage: Storage) -> None:
    await make_thick(storage, "vol-a")
    with pytest.raises(Incompatible):
        await wrapper.thin_extend(storage.dm, vg=VG, lv="vol-a", sectors=3 * SIZE // SECTOR)
    with pytest.raises(NotFound):
        await wrapper.thin_extend(storage.dm, vg=VG, lv="nosuch", sectors=3 * SIZE // SECTOR)


async def test_commands_at_once_take_turns(storage: Storage) -> None:
    names = [f"vol-{number}" for number in range(5)]
    await asyncio.gather(*(make(storage, name) for name in names))
    await asyncio.gather(*(storage.lvm.remove(name, vg=VG) for name in names))
    assert [lv.name for lv in (await storage.lvm.group(VG)).volumes] == [POOL]
