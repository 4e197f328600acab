"""The simulated device-mapper keeps the kernel's rules."""

import asyncio

import pytest

from csi_driver.errors import Busy, Incompatible, InternalError, NotFound, OutOfRange
from csi_driver.host.dm import tables
from csi_driver.host.doors import DmLine
from csi_driver.model.sizes import GIB, MIB
from csi_driver.testing.host import SimHost

SIZE = 64 * MIB
SECTORS = SIZE // 512
UUID = "CLINKER-w-1"


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.fixture
async def host() -> SimHost:
    made = SimHost()
    made.add_group("vg0", GIB)
    await made.lvm.create_thick("lv", vg="vg0", size=SIZE, tags=frozenset())
    return made


async def below(host: SimHost) -> tuple[int, int]:
    found = await host.dm.find("vg0-lv")
    assert found is not None
    return found.devno


async def wrap(host: SimHost, name: str = "w", uuid: str = UUID) -> None:
    await host.dm.create(name, uuid=uuid)
    await host.dm.load(name, tables.linear(await below(host), SECTORS))
    await host.dm.resume(name)


async def test_a_table_is_live_after_resume_only(host: SimHost) -> None:
    await host.dm.create("w", uuid=UUID)
    await host.dm.load("w", tables.linear(await below(host), SECTORS))
    assert await host.dm.table("w") == ()
    found = await host.dm.find("w")
    assert found is not None
    assert not found.has_table
    await host.dm.resume("w")
    assert await host.dm.table("w") == tables.linear(await below(host), SECTORS)
    assert await host.devices.size(found.devno) == SIZE


async def test_names_and_uuids_are_unique(host: SimHost) -> None:
    await wrap(host)
    with pytest.raises(Incompatible):
        await host.dm.create("w", uuid="CLINKER-other")
    with pytest.raises(Incompatible):
        await host.dm.create("other", uuid=UUID)
    with pytest.raises(Incompatible):
        await host.dm.rename("w", "vg0-lv")
    await host.dm.rename("w", "w.fenced.1")
    found = await host.dm.find("w.fenced.1")
    assert found is not None
    assert found.uuid == UUID


async def test_devices_are_ours_only(host: SimHost) -> None:
    await wrap(host)
    assert [device.name for device in await host.dm.devices()] == ["w"]


async def test_wrapper_passes_bytes_to_the_volume(host: SimHost) -> None:
    await wrap(host)
    await host.write("/dev/mapper/w", b"hello", offset=12345)
    assert await host.read("/dev/mapper/vg0-lv", 5, offset=12345) == b"hello"


async def test_absent_devices_are_not_found(host: SimHost) -> None:
    for act in (host.dm.table, host.dm.suspend, host.dm.resume, host.dm.remove):
        with pytest.raises(NotFound):
            await act("nothing")
    assert await host.dm.find("nothing") is None


async def test_table_longer_than_below_is_refused_at_load(host: SimHost) -> None:
    await host.dm.create("w", uuid=UUID)
    with pytest.raises(OutOfRange):
        await host.dm.load("w", tables.linear(await below(host), SECTORS + 1))
    found = await host.dm.find("vg0-lv")
    assert found is not None
    assert found.open_count == 0


async def test_resume_of_a_table_that_no_longer_fits_leaves_it_suspended(host: SimHost) -> None:
    await wrap(host)
    await host.lvm.extend("lv", vg="vg0", size=2 * SIZE, metadata_only=False)
    await host.dm.load("w", tables.linear(await below(host), 2 * SECTORS))
    lv = host.machine.kernel.named("vg0-lv")
    assert lv is not None
    lv.live = host.machine.kernel.open_table((DmLine(0, SECTORS, "error"),))
    with pytest.raises(InternalError):
        await host.dm.resume("w")
    found = await host.dm.find("w")
    assert found is not None
    assert found.suspended


async def test_load_of_a_device_that_is_not_there_is_refused(host: SimHost) -> None:
    await host.dm.create("w", uuid=UUID)
    with pytest.raises(InternalError):
        await host.dm.load("w", tables.linear((8, 0), SECTORS))


async def test_open_device_is_not_removed(host: SimHost) -> None:
    await wrap(host)
    found = await host.dm.find("w")
    assert found is not None
    await host.dm.create("upper", uuid="CLINKER-upper")
    await host.dm.load("upper", tables.linear(found.devno, SECTORS))
    with pytest.raises(Busy):
        await host.dm.remove("w")
    await host.dm.remove("upper")
    await host.dm.remove("w")
    assert await host.dm.find("w") is None


async def test_suspended_device_holds_io_until_resume(host: SimHost) -> None:
    await wrap(host)
    await host.dm.suspend("w")
    writing = asyncio.ensure_future(host.write("/dev/mapper/w", b"x"))
    await settle()
    assert not writing.done()
    assert await host.read("/dev/mapper/vg0-lv", 1) == b"\0"
    await host.dm.resume("w")
    await writing
    assert await host.read("/dev/mapper/vg0-lv", 1) == b"x"


async def test_suspend_waits_for_a_hung_disk(host: SimHost) -> None:
    await wrap(host)
    host.hang("vg0-lv")
    writing = asyncio.ensure_future(host.write("/dev/mapper/w", b"x"))
    await settle()
    suspending = asyncio.ensure_future(host.dm.suspend("w"))
    await settle()
    assert not suspending.done()
    found = await host.dm.find("w")
    assert found is not None
    assert not found.suspended, "a suspend that waits is not yet seen (mechanisms.md 1)"
    host.hang("vg0-lv", hung=False)
    await suspending
    await writing


async def test_a_caller_that_gives_up_leaves_the_suspend_going(host: SimHost) -> None:
    await wrap(host)
    host.hang("vg0-lv")
    writing = asyncio.ensure_future(host.write("/dev/mapper/w", b"x"))
    await settle()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(host.dm.suspend("w"), 0.01)
    host.hang("vg0-lv", hung=False)
    await writing
    await settle()
    found = await host.dm.find("w")
    assert found is not None
    assert found.suspended


async def test_the_end_of_the_process_undoes_a_waiting_suspend(host: SimHost) -> None:
    await wrap(host)
    host.hang("vg0-lv")
    writing = asyncio.ensure_future(host.write("/dev/mapper/w", b"x"))
    await settle()
    suspending = asyncio.ensure_future(host.dm.suspend("w"))
    await settle()
    host.process_crash()
    await asyncio.wait({suspending})
    host.hang("vg0-lv", hung=False)
    await writing
    await host.write("/dev/mapper/w", b"y")
    found = await host.dm.find("w")
    assert found is not None
    assert not found.suspended


async def test_error_table_ends_io_and_frees_the_volume(host: SimHost) -> None:
    await wrap(host)
    await host.dm.load("w", tables.error(SECTORS))
    await host.dm.suspend("w")
    await host.dm.resume("w")
    with pytest.raises(OSError, match="Input/output error"):
        await host.write("/dev/mapper/w", b"x")
    found = await host.dm.find("vg0-lv")
    assert found is not None
    assert found.open_count == 0


async def test_numbers_are_given_out_again(host: SimHost) -> None:
    await wrap(host)
    first = await host.dm.find("w")
    assert first is not None
    await host.dm.remove("w")
    await wrap(host, "other", "CLINKER-other")
    second = await host.dm.find("other")
    assert second is not None
    assert second.devno == first.devno
