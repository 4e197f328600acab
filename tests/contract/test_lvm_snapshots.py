"""What every ``Lvm`` door does with snapshots of thin volumes."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import CommandFailed, Incompatible, NotFound
from csi_driver.host import wrapper
from csi_driver.model.sizes import MIB, SECTOR
from tests.contract.storage import POOL, VG, Storage, devno
from tests.contract.test_lvm import SIZE, TAGS, look, make, make_thick, sized

OTHER = frozenset({"clinker.id=snap-a", "clinker.content=ready"})


async def cut(storage: Storage, name: str, origin: str, tags: frozenset[str] = OTHER) -> None:
    await storage.lvm.create_snapshot(name, vg=VG, origin=origin, tags=tags)


async def test_a_snapshot_is_inactive_and_has_its_own_tags_only(storage: Storage) -> None:
    source = await make(storage, "vol-a")
    before = await storage.lvm.group(VG)
    await cut(storage, "snap-a", "vol-a")
    lv = await sized(storage, "snap-a", SIZE)
    assert (lv.tags, lv.pool, lv.layout, lv.active, lv.devno) == (OTHER, POOL, "thin", False, None)
    assert lv.thin_id not in (None, source.thin_id)
    assert await look(storage, "vol-a") == source
    assert (await storage.lvm.group(VG)).free == before.free


async def test_a_snapshot_keeps_what_its_source_held(storage: Storage) -> None:
    source = await make(storage, "vol-a")
    await storage.write(devno(source), 0, b"old!" * 1024)
    await cut(storage, "snap-a", "vol-a")
    await storage.write(devno(source), 0, b"new!" * 1024)
    await storage.lvm.activate("snap-a", vg=VG)
    assert await storage.read(devno(await look(storage, "snap-a")), 0, 4096) == b"old!" * 1024
    assert await storage.read(devno(source), 0, 4096) == b"new!" * 1024


async def test_what_is_made_from_a_snapshot_is_a_volume_of_its_own(storage: Storage) -> None:
    source = await make(storage, "vol-a")
    await storage.write(devno(source), 0, b"a" * 4096)
    await cut(storage, "snap-a", "vol-a")
    await cut(storage, "vol-b", "snap-a", TAGS)
    await storage.lvm.extend("vol-b", vg=VG, size=2 * SIZE, metadata_only=True)
    await storage.lvm.activate("vol-b", vg=VG)
    grown = await sized(storage, "vol-b", 2 * SIZE)
    assert storage.size(devno(grown)) == 2 * SIZE
    assert grown.tags == TAGS
    await storage.write(devno(grown), 2 * SIZE - 4096, b"b" * 4096)
    await storage.lvm.remove("vol-a", vg=VG)
    await storage.lvm.remove("snap-a", vg=VG)
    assert await storage.read(devno(grown), 0, 4096) == b"a" * 4096
    assert await storage.read(devno(grown), SIZE, 4096) == bytes(4096)
    assert await storage.read(devno(grown), 2 * SIZE - 4096, 4096) == b"b" * 4096


async def test_a_source_that_is_gone_is_not_missed(storage: Storage) -> None:
    source = await make(storage, "vol-a")
    await storage.write(devno(source), 0, b"a" * 4096)
    await cut(storage, "snap-a", "vol-a")
    await storage.lvm.remove("vol-a", vg=VG)
    await storage.lvm.activate("snap-a", vg=VG)
    assert await storage.read(devno(await look(storage, "snap-a")), 0, 4096) == b"a" * 4096


async def test_of_an_inactive_source_in_a_pool_that_is_down(storage: Storage) -> None:
    await make(storage, "vol-a")
    await storage.lvm.deactivate("vol-a", vg=VG)
    await storage.lvm.deactivate(POOL, vg=VG)
    await cut(storage, "snap-a", "vol-a")
    await cut(storage, "snap-b", "snap-a")
    await storage.lvm.activate("snap-b", vg=VG)
    await sized(storage, "snap-b", SIZE)
    await make(storage, "vol-c")


async def test_refusals_leave_everything_as_it_was(storage: Storage) -> None:
    await make(storage, "vol-a")
    await make_thick(storage, "vol-t")
    before = await storage.lvm.group(VG)
    with pytest.raises(NotFound):
        await cut(storage, "snap-a", "nosuch")
    with pytest.raises(CommandFailed):
        await cut(storage, "snap-a", "vol-t")
    with pytest.raises(Incompatible):
        await cut(storage, "vol-t", "vol-a")
    with pytest.raises(CommandFailed):
        await cut(storage, "snap-a", "vol-a", frozenset({"a b"}))
    assert await storage.lvm.group(VG) == before


async def test_below_a_wrapper_that_is_held(storage: Storage) -> None:
    """The wrapper may be suspended, frozen too; only the volume's own device may not."""
    source = await make(storage, "vol-a")
    await wrapper.ensure(storage.dm, "w", uuid="CLINKER-w-1", over=devno(source), sectors=SIZE // SECTOR)
    for number in range(3):
        await wrapper.freeze(storage.dm, "w")
        await asyncio.wait_for(cut(storage, f"snap-{number}", "vol-a"), 30)
        await wrapper.thaw(storage.dm, "w")
        await wrapper.thaw(storage.dm, "w")
    device = await storage.dm.find("w")
    assert device is not None
    assert not device.suspended
    await wrapper.remove(storage.dm, "w")
    await make(storage, "vol-b", 16 * MIB)
