"""What a hung disk does to the fence, and what udev makes of our devices."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from csi_driver.host import wrapper
from csi_driver.host.dm import tables
from csi_driver.host.doors import DmLine, numbers
from csi_driver.kit.run import Command, HostRunner
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import MIB, SECTOR
from tests.contract.storage import POOL, VG, Storage, devno, nothing

ID = VolumeId("a" * 26, "b" * 8)
NAME = str(ID)
SIZE = 64 * MIB
SECTORS = SIZE // SECTOR
BLOCK = b"x" * 4096


@pytest.fixture
async def below(storage: Storage) -> tuple[int, int]:
    """A volume of 64 MiB."""
    await storage.lvm.create_thin("vol-below", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    return devno((await storage.lvm.group(VG)).volume("vol-below"))


async def over(storage: Storage, name: str, line: DmLine) -> tuple[int, int]:
    await storage.dm.create(name, uuid=f"CLINKER-{name}")
    await storage.dm.load(name, (line,))
    await storage.dm.resume(name)
    device = await storage.dm.find(name)
    assert device is not None
    return device.devno


async def writes_held(storage: Storage, name: str) -> int:
    """What a ``delay`` device holds back now: reads, writes and flushes are the three numbers of its status."""
    (line,) = await storage.dm.status(name)
    return int(line.args.split()[1])


async def test_sever_waits_for_a_slow_disk_and_everything_else_goes_on(
    storage: Storage, below: tuple[int, int]
) -> None:
    """A write of 4 s is in flight: the fence waits for it, then it is done; other dm calls do not wait."""
    slow = await over(storage, "slow", DmLine(0, SECTORS, "delay", f"{numbers(below)} 0 0 {numbers(below)} 0 4000"))
    device = await wrapper.ensure(storage.dm, NAME, uuid=ID.wrapper_uuid(7), over=slow, sectors=SECTORS)
    writing = asyncio.create_task(storage.write(device.devno, 0, BLOCK))
    while not await writes_held(storage, "slow"):
        assert not writing.done()
        await asyncio.sleep(0.01)
    severing = asyncio.create_task(wrapper.sever(storage.dm, NAME, 7))
    await asyncio.sleep(0.3)
    assert not severing.done()
    assert await storage.dm.find(NAME) is not None
    assert len(await storage.dm.devices()) == 2
    assert not severing.done()
    await severing
    assert await storage.read(below, 0, 4096) == BLOCK
    await asyncio.wait({writing})  # its data arrived; the flush after it may or may not have come in time
    writing.exception()
    with storage.hold(device.devno), pytest.raises(OSError, match="Errno 5"):
        await storage.write(device.devno, 0, BLOCK)
    assert await wrapper.remove_severed(storage.dm, nothing) == ()
    await storage.dm.remove("slow")


async def test_udev_leaves_our_devices_alone(storage: Storage, below: tuple[int, int]) -> None:
    device = await wrapper.ensure(storage.dm, NAME, uuid=ID.wrapper_uuid(7), over=below, sectors=SECTORS)
    run = HostRunner().run
    await run(Command(argv=("mkfs.ext4", "-q", f"/dev/dm-{device.devno[1]}")))
    await run(Command(argv=("udevadm", "settle")))
    said = (await run(Command(argv=("udevadm", "info", "-q", "property", f"/dev/dm-{device.devno[1]}")))).stdout
    assert "DM_UDEV_DISABLE_DISK_RULES_FLAG=1" in said
    assert "DM_UDEV_DISABLE_OTHER_RULES_FLAG=1" in said
    assert "SYSTEMD_READY=0" in said
    assert "by-uuid" not in said
    assert Path("/dev/mapper", NAME).exists()


async def test_udev_keeps_what_it_knows_of_an_lv(storage: Storage, below: tuple[int, int]) -> None:
    """After our own resume of an LV its links are still there, and lvm removes it as before."""
    run = HostRunner().run
    await run(Command(argv=("udevadm", "settle")))
    link = Path("/dev", VG, "vol-below")
    assert link.exists()
    await storage.lvm.extend("vol-below", vg=VG, size=2 * SIZE, metadata_only=True)
    await wrapper.thin_extend(storage.dm, vg=VG, lv="vol-below", sectors=2 * SECTORS)
    await run(Command(argv=("udevadm", "settle")))
    assert link.resolve() == Path(f"/dev/dm-{below[1]}")
    assert Path("/dev/mapper", tables.mapper_name(VG, "vol-below")).exists()
    await storage.lvm.remove("vol-below", vg=VG)
    await run(Command(argv=("udevadm", "settle")))
    assert not link.is_symlink()
