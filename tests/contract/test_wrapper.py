"""Our dm-linear device, from every state that a crash can leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from csi_driver.errors import Incompatible, NotFound, OutOfRange, Precondition
from csi_driver.host import wrapper
from csi_driver.host.dm import tables
from csi_driver.host.doors import Dm, DmDevice
from csi_driver.kit.effects import Effects
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import MIB, SECTOR
from tests.contract.storage import POOL, VG, Storage, devno, nothing

ID = VolumeId("a" * 26, "b" * 8)
NAME = str(ID)
UUID = ID.wrapper_uuid(7)
SIZE = 64 * MIB
SECTORS = SIZE // SECTOR
BLOCK = b"x" * 4096


class Crash(BaseException):
    """The process ends here."""


class CrashAt(Effects):
    """Ends the process before or after its ``number``-th effect, counted from 1."""

    def __init__(self, number: int, when: str) -> None:
        self.left, self.when = number, when

    async def perform(self, name: str, subject: str, act: Callable[[], Awaitable[object]]) -> object:
        self.left -= 1
        if self.left == 0 and self.when == "before":
            raise Crash
        done = await act()
        if self.left == 0:
            raise Crash
        return done


@pytest.fixture
async def below(storage: Storage) -> tuple[int, int]:
    """A volume of 64 MiB."""
    await storage.lvm.create_thin("vol-below", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    return devno((await storage.lvm.group(VG)).volume("vol-below"))


async def ensure(dm: Dm, below: tuple[int, int], uuid: str = UUID, sectors: int = SECTORS) -> tuple[int, int]:
    device = await wrapper.ensure(dm, NAME, uuid=uuid, over=below, sectors=sectors)
    assert (device.name, device.uuid, device.suspended, device.has_table) == (NAME, uuid, False, True)
    return device.devno


async def crash_everywhere(storage: Storage, act: Callable[[Dm], Awaitable[object]]) -> int:
    """Do it, ended at each effect in turn, each time from where the last one stopped; then to its end.

    Says how often it was ended. A process that is killed leaves what the kernel has, and nothing else.
    """
    crashes = 0
    for when in ("after", "before", "after", "before", "after", "before", "after"):
        try:
            await act(storage.dm_with(CrashAt(1, when)))
        except Crash:
            crashes += 1
    for number in (2, 3, 4):
        try:
            await act(storage.dm_with(CrashAt(number, "before")))
        except Crash:
            crashes += 1
    await act(storage.dm)
    return crashes


async def test_ensure_makes_one_and_finds_it(storage: Storage, below: tuple[int, int]) -> None:
    first = await ensure(storage.dm, below)
    assert await ensure(storage.dm, below) == first
    assert storage.size(first) == SIZE
    await storage.write(first, 0, BLOCK)
    assert await storage.read(below, 0, 4096) == BLOCK


async def test_ensure_converges_from_a_crash_anywhere(storage: Storage, below: tuple[int, int]) -> None:
    assert await crash_everywhere(storage, lambda dm: ensure(dm, below)) >= 3
    device = await ensure(storage.dm, below)
    await storage.write(device, 0, BLOCK)


@pytest.mark.parametrize("leftover", ["nothing", "error", "short"])
async def test_ensure_lets_a_held_wrapper_go(storage: Storage, below: tuple[int, int], leftover: str) -> None:
    """Whatever a crash left in the inactive slot must not be swapped in by that."""
    device = await ensure(storage.dm, below)
    if leftover != "nothing":
        table = tables.error(SECTORS) if leftover == "error" else tables.linear(below, 8)
        await storage.dm.load(NAME, table)
    await storage.dm.suspend(NAME)
    assert await ensure(storage.dm, below) == device
    assert storage.size(device) == SIZE
    await storage.write(device, 0, BLOCK)


async def test_ensure_takes_no_other_device(storage: Storage, below: tuple[int, int]) -> None:
    await ensure(storage.dm, below)
    with pytest.raises(Incompatible):
        await ensure(storage.dm, below, uuid=ID.wrapper_uuid(8))
    await storage.lvm.create_thin("vol-other", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    other = devno((await storage.lvm.group(VG)).volume("vol-other"))
    with pytest.raises(Incompatible):
        await ensure(storage.dm, other)


async def test_ensure_is_no_longer_than_what_is_below(storage: Storage, below: tuple[int, int]) -> None:
    with pytest.raises(OutOfRange):
        await ensure(storage.dm, below, sectors=SECTORS + 8)
    await ensure(storage.dm, below)


async def test_grow_under_a_holder(storage: Storage, below: tuple[int, int]) -> None:
    device = await ensure(storage.dm, below, sectors=SECTORS // 2)
    with storage.hold(device):
        for _ in range(2):
            await wrapper.grow(storage.dm, NAME, over=below, sectors=SECTORS)
            assert storage.size(device) == SIZE
        await storage.write(device, SIZE - 4096, BLOCK)
    await wrapper.grow(storage.dm, NAME, over=below, sectors=8)
    assert storage.size(device) == SIZE
    with pytest.raises(OutOfRange):
        await wrapper.grow(storage.dm, NAME, over=below, sectors=SECTORS + 8)
    await storage.write(device, 0, BLOCK)
    with pytest.raises(NotFound):
        await wrapper.grow(storage.dm, "nosuch", over=below, sectors=SECTORS)


async def test_grow_converges_from_a_crash_anywhere(storage: Storage, below: tuple[int, int]) -> None:
    device = await ensure(storage.dm, below, sectors=SECTORS // 2)
    crashes = await crash_everywhere(storage, lambda dm: wrapper.grow(dm, NAME, over=below, sectors=SECTORS))
    assert crashes >= 3
    assert storage.size(device) == SIZE
    await storage.write(device, SIZE - 4096, BLOCK)


async def test_remove(storage: Storage, below: tuple[int, int]) -> None:
    await ensure(storage.dm, below)
    await wrapper.remove(storage.dm, NAME, uuid=ID.wrapper_uuid(6))
    assert await storage.dm.find(NAME) is not None
    await storage.dm.suspend(NAME)
    for _ in range(2):
        await wrapper.remove(storage.dm, NAME, uuid=UUID)
    assert await storage.dm.find(NAME) is None
    await storage.lvm.remove("vol-below", vg=VG)


async def test_drain_waits_for_what_is_in_flight_and_lets_go(storage: Storage, below: tuple[int, int]) -> None:
    device = await ensure(storage.dm, below)
    writes = [asyncio.create_task(storage.write(device, number * 4096, BLOCK)) for number in range(8)]
    await wrapper.drain(storage.dm, NAME)
    await asyncio.gather(*writes)
    found = await storage.dm.find(NAME)
    assert found is not None
    assert not found.suspended
    with pytest.raises(NotFound):
        await wrapper.drain(storage.dm, "nosuch")


async def test_sever_cuts_the_holder_off_and_frees_the_volume(storage: Storage, below: tuple[int, int]) -> None:
    device = await ensure(storage.dm, below)
    await storage.write(device, 0, BLOCK)
    fenced = f"{NAME}.fenced.7"
    with storage.hold(device):
        for _ in range(2):
            await wrapper.sever(storage.dm, NAME, 7)
        with pytest.raises(OSError, match="Errno 5"):
            await storage.write(device, 0, b"y" * 4096)
        assert await wrapper.remove_severed(storage.dm, nothing) == (fenced,)
        # The next publication's wrapper stands beside it, and is not touched by a late repetition.
        fresh = await ensure(storage.dm, below, uuid=ID.wrapper_uuid(8))
        await wrapper.sever(storage.dm, NAME, 7)
        assert await storage.read(fresh, 0, 4096) == BLOCK
        await wrapper.remove(storage.dm, NAME)
        await storage.lvm.remove("vol-below", vg=VG)
    assert await wrapper.remove_severed(storage.dm, something) == (fenced,)
    assert await wrapper.remove_severed(storage.dm, nothing) == ()
    assert await storage.dm.devices() == ()


async def something(device: DmDevice) -> bool:
    """Leads to the severed device, which nobody has open."""
    assert device.open_count == 0
    return True


async def test_sever_converges_from_a_crash_anywhere(storage: Storage, below: tuple[int, int]) -> None:
    device = await ensure(storage.dm, below)
    with storage.hold(device):
        assert await crash_everywhere(storage, lambda dm: wrapper.sever(dm, NAME, 7)) >= 4
        with pytest.raises(OSError, match="Errno 5"):
            await storage.read(device, 0, 4096)
    severed = await storage.dm.find(f"{NAME}.fenced.7")
    assert severed is not None
    assert (severed.suspended, severed.uuid) == (False, UUID)
    await storage.lvm.remove("vol-below", vg=VG)


async def test_what_is_cut_off_is_not_made_whole_again(storage: Storage, below: tuple[int, int]) -> None:
    """A crash of ``sever`` before its rename: whoever still holds the device may never reach the volume again."""
    await ensure(storage.dm, below)
    with pytest.raises(Crash):
        await wrapper.sever(storage.dm_with(CrashAt(4, "before")), NAME, 7)
    with pytest.raises(Precondition):
        await ensure(storage.dm, below)
    await wrapper.sever(storage.dm, NAME, 7)
    await ensure(storage.dm, below, uuid=ID.wrapper_uuid(8))


async def test_a_wrapper_without_a_table_is_severed_by_removing_it(storage: Storage) -> None:
    await storage.dm.create(NAME, uuid=UUID)
    await wrapper.sever(storage.dm, NAME, 7)
    assert await storage.dm.devices() == ()
    await wrapper.sever(storage.dm, NAME, 7)


async def test_a_consumers_device_is_severed_by_its_number_too(storage: Storage, below: tuple[int, int]) -> None:
    name = ID.consumer_device
    await wrapper.ensure(storage.dm, name, uuid=ID.consumer_uuid(7), over=below, sectors=SECTORS)
    await wrapper.sever(storage.dm, name, 8)
    assert await storage.dm.find(name) is not None
    await wrapper.sever(storage.dm, name, 7)
    assert await storage.dm.find(f"{name}.fenced.7") is not None


async def test_read_only_wrapper_refuses_writes_and_stays_so_when_it_grows(
    storage: Storage, below: tuple[int, int]
) -> None:
    half = SECTORS // 2
    made = await wrapper.ensure(storage.dm, NAME, uuid=UUID, over=below, sectors=half, readonly=True)
    assert made.readonly
    with pytest.raises(OSError, match=r"ermitted|ead-only"):
        await storage.write(made.devno, 0, BLOCK)
    await wrapper.grow(storage.dm, NAME, over=below, sectors=SECTORS)
    grown = await storage.dm.find(NAME)
    assert grown is not None
    assert grown.readonly
    assert tables.length(await storage.dm.table(NAME)) == SECTORS
