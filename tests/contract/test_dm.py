"""What every ``Dm`` door does."""

from __future__ import annotations

import asyncio

import pytest

from csi_driver.errors import Busy, Incompatible, InternalError, NotFound, OutOfRange
from csi_driver.host.dm import tables
from csi_driver.model.sizes import MIB, SECTOR
from tests.contract.storage import POOL, VG, Storage, devno

SIZE = 64 * MIB
SECTORS = SIZE // SECTOR
UUID = "CLINKER-w-1"
BLOCK = b"x" * 4096


@pytest.fixture
async def below(storage: Storage) -> tuple[int, int]:
    """A volume of 64 MiB."""
    await storage.lvm.create_thin("vol-below", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    return devno((await storage.lvm.group(VG)).volume("vol-below"))


async def make(storage: Storage, below: tuple[int, int], name: str = "w", uuid: str = UUID) -> tuple[int, int]:
    await storage.dm.create(name, uuid=uuid)
    await storage.dm.load(name, tables.linear(below, SECTORS))
    await storage.dm.resume(name)
    device = await storage.dm.find(name)
    assert device is not None
    return device.devno


async def test_a_device_is_made_in_steps(storage: Storage, below: tuple[int, int]) -> None:
    dm = storage.dm
    assert await dm.find("w") is None
    await dm.create("w", uuid=UUID)
    made = await dm.find("w")
    assert made is not None
    assert (made.name, made.uuid, made.open_count, made.has_table) == ("w", UUID, 0, False)
    assert await dm.table("w") == ()
    await dm.load("w", tables.linear(below, SECTORS))
    loaded = await dm.find("w")
    assert loaded is not None
    assert not loaded.has_table
    await dm.resume("w")
    live = await dm.find("w")
    assert live is not None
    assert (live.devno, live.has_table, live.suspended) == (made.devno, True, False)
    assert await dm.table("w") == tables.linear(below, SECTORS)
    assert storage.size(live.devno) == SIZE


async def test_data_goes_through(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    await storage.write(device, 8192, BLOCK)
    assert await storage.read(below, 8192, 4096) == BLOCK


async def test_devices_are_ours_alone(storage: Storage, below: tuple[int, int]) -> None:
    assert await storage.dm.devices() == ()
    await make(storage, below)
    await make(storage, below, "w2", "CLINKER-w-2")
    await storage.dm.create("foreign", uuid="OTHER-1")
    assert sorted(device.name for device in await storage.dm.devices()) == ["w", "w2"]
    assert await storage.dm.find("foreign") is not None
    assert await storage.dm.find(tables.mapper_name(VG, "vol-below")) is not None
    await storage.dm.remove("foreign")


async def test_an_lv_has_the_name_and_the_table_that_lvm_gives(storage: Storage, below: tuple[int, int]) -> None:
    name = tables.mapper_name(VG, "vol-below")
    device = await storage.dm.find(name)
    lv = (await storage.lvm.group(VG)).volume("vol-below")
    assert device is not None
    assert lv is not None
    assert device.devno == below
    assert device.uuid == f"LVM-{(await storage.lvm.group(VG)).uuid}{lv.uuid}".replace("-", "").replace("LVM", "LVM-")
    (line,) = await storage.dm.table(name)
    assert (line.start, line.length, line.target, line.args.split()[1]) == (0, SECTORS, "thin", str(lv.thin_id))


async def test_many_devices_are_all_listed(storage: Storage) -> None:
    names = [f"w-{'n' * 100}-{number:03}" for number in range(150)]
    for number, name in enumerate(names):
        await storage.dm.create(name, uuid=f"CLINKER-w-{number}")
    assert sorted(device.name for device in await storage.dm.devices()) == names
    for name in names:
        await storage.dm.remove(name)


async def test_names_and_uuids_are_taken_once(storage: Storage, below: tuple[int, int]) -> None:
    await make(storage, below)
    with pytest.raises(Incompatible):
        await storage.dm.create("w", uuid="CLINKER-w-2")
    with pytest.raises(Incompatible):
        await storage.dm.create("w2", uuid=UUID)
    assert await storage.dm.find("w2") is None


@pytest.mark.parametrize("name", ["", "a/b", "n" * 128])
async def test_names_that_the_kernel_does_not_take(storage: Storage, name: str) -> None:
    with pytest.raises(InternalError):
        await storage.dm.create(name, uuid=UUID)
    assert await storage.dm.devices() == ()


async def test_a_table_that_is_too_long_is_refused_and_changes_nothing(
    storage: Storage, below: tuple[int, int]
) -> None:
    device = await make(storage, below)
    with pytest.raises(OutOfRange):
        await storage.dm.load("w", tables.linear(below, SECTORS + 1))
    with pytest.raises(OutOfRange):
        await storage.dm.load("w", tables.linear(below, SECTORS, offset=8))
    await storage.dm.resume("w")
    assert storage.size(device) == SIZE
    await storage.write(device, 0, BLOCK)


async def test_a_table_over_nothing_is_refused(storage: Storage) -> None:
    await storage.dm.create("w", uuid=UUID)
    with pytest.raises(InternalError):
        await storage.dm.load("w", tables.linear((259, 99), SECTORS))


async def test_a_suspended_device_holds_writes_and_loses_none(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    for _ in range(2):
        await storage.dm.suspend("w")
    found = await storage.dm.find("w")
    assert found is not None
    assert found.suspended
    writing = asyncio.create_task(storage.write(device, 0, BLOCK))
    done, _ = await asyncio.wait({writing}, timeout=0.3)
    assert not done
    assert await storage.read(below, 0, 4096) == bytes(4096)
    for _ in range(2):
        await storage.dm.resume("w")
    await writing
    assert await storage.read(below, 0, 4096) == BLOCK


async def test_a_table_is_swapped_under_a_holder(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    with storage.hold(device):
        await storage.dm.load("w", tables.error(SECTORS))
        await storage.dm.suspend("w")
        await storage.dm.resume("w")
        assert tables.is_error(await storage.dm.table("w"))
        with pytest.raises(OSError, match="Errno 5"):
            await storage.write(device, 0, BLOCK)
    await storage.lvm.remove("vol-below", vg=VG)


async def test_resume_alone_swaps_a_live_table(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    await storage.dm.load("w", tables.linear(below, SECTORS // 2))
    await storage.dm.resume("w")
    assert storage.size(device) == SIZE // 2


async def test_rename_keeps_uuid_and_holders(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    await make(storage, below, "w2", "CLINKER-w-2")
    with storage.hold(device):
        with pytest.raises(Incompatible):
            await storage.dm.rename("w", "w2")
        await storage.dm.rename("w", "w.fenced.1")
        renamed = await storage.dm.find("w.fenced.1")
        assert renamed is not None
        assert (renamed.uuid, renamed.devno, renamed.open_count) == (UUID, device, 1)
    assert await storage.dm.find("w") is None


async def test_an_open_device_is_busy(storage: Storage, below: tuple[int, int]) -> None:
    device = await make(storage, below)
    with storage.hold(device), pytest.raises(Busy):
        await storage.dm.remove("w")
    assert await storage.dm.find("w") is not None


async def test_what_is_absent_is_not_found(storage: Storage) -> None:
    for act in (storage.dm.table, storage.dm.suspend, storage.dm.resume, storage.dm.remove):
        with pytest.raises(NotFound):
            await act("nosuch")
    with pytest.raises(NotFound):
        await storage.dm.rename("nosuch", "other")
