"""KernelDevices over a tree that looks like sysfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from csi_driver.errors import NotFound, Unavailable
from csi_driver.host.devices import sysfs
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.doors import ScsiDisk
from csi_driver.kit.effects import Effects
from csi_driver.model.ids import VolumeId

IQN = VolumeId("a" * 26, "bbbbbbbb").iqn


class Sys:
    def __init__(self, root: Path) -> None:
        self.root = root / "sys"
        self.devices = KernelDevices(Effects(), sys=self.root, dev=root / "dev", patience=0.05)
        (root / "dev").mkdir()

    def session(self, number: int, iqn: str) -> Path:
        device = self.root / f"devices/platform/host{number}/session{number}"
        device.mkdir(parents=True)
        entry = self.root / f"class/iscsi_session/session{number}"
        entry.mkdir(parents=True)
        (entry / "targetname").write_text(f"{iqn}\n")
        (entry / "device").symlink_to(device)
        host = self.root / f"class/scsi_host/host{number}"
        host.mkdir(parents=True)
        (host / "scan").write_text("")
        return device

    def disk(self, session: Path, lun: int, name: str, devno: str, state: str = "running") -> None:
        address = session.name.removeprefix("session")
        device = session / f"target{address}:0:0/{address}:0:0:{lun}"
        (device / "block" / name).mkdir(parents=True)
        (device / "block" / name / "dev").write_text(f"{devno}\n")
        (device / "state").write_text(f"{state}\n")
        (device / "delete").write_text("")
        (device / "rescan").write_text("")
        (self.root / "block").mkdir(exist_ok=True)
        (self.root / "block" / name).symlink_to(device / "block" / name)
        (device / "block" / name / "device").symlink_to(device)

    def block(self, devno: str, name: str, sectors: int) -> None:
        folder = self.root / "dev/block" / devno
        folder.mkdir(parents=True)
        (folder / "uevent").write_text(f"MAJOR={devno}\nDEVNAME={name}\nDEVTYPE=disk\n")
        (folder / "size").write_text(f"{sectors}\n")


@pytest.fixture
def sys(tmp_path: Path) -> Sys:
    return Sys(tmp_path)


async def test_the_disks_of_a_target_are_those_of_its_sessions(sys: Sys) -> None:
    assert await sys.devices.disks(IQN) == ()
    first, second, other = sys.session(1, IQN), sys.session(2, IQN), sys.session(3, f"{IQN}x")
    sys.disk(second, 0, "sdb", "8:16", "blocked")
    sys.disk(first, 0, "sda", "8:0")
    sys.disk(other, 0, "sdc", "8:32")
    assert await sys.devices.disks(IQN) == (
        ScsiDisk(name="sda", devno=(8, 0), iqn=IQN, lun=0, state="running"),
        ScsiDisk(name="sdb", devno=(8, 16), iqn=IQN, lun=0, state="blocked"),
    )


async def test_a_scan_asks_for_lun_0_of_those_sessions(sys: Sys) -> None:
    sys.session(1, IQN)
    sys.session(2, f"{IQN}x")
    await sys.devices.scan(IQN)
    assert (sys.root / "class/scsi_host/host1/scan").read_text() == "- - 0"
    assert (sys.root / "class/scsi_host/host2/scan").read_text() == ""
    await sys.devices.scan(f"{IQN}-unknown")


async def test_a_disk_is_told_by_its_own_files(sys: Sys) -> None:
    session = sys.session(1, IQN)
    sys.disk(session, 0, "sda", "8:0")
    (disk,) = await sys.devices.disks(IQN)
    await sys.devices.rescan(disk)
    await sys.devices.delete(disk)
    assert (session / "target1:0:0/1:0:0:0/rescan").read_text() == "1"
    assert (session / "target1:0:0/1:0:0:0/delete").read_text() == "1"


async def test_a_name_that_became_anothers_is_left_alone(sys: Sys) -> None:
    session = sys.session(1, f"{IQN}x")
    sys.disk(session, 0, "sda", "8:0")
    gone = ScsiDisk(name="sda", devno=(8, 0), iqn=IQN, lun=0, state="running")
    await sys.devices.delete(gone)
    with pytest.raises(NotFound):
        await sys.devices.rescan(gone)
    with pytest.raises(Unavailable, match="gone"):
        await sys.devices.identity(gone)
    assert (session / "target1:0:0/1:0:0:0/delete").read_text() == ""


async def test_a_disk_that_is_down_is_not_asked(sys: Sys) -> None:
    sys.disk(sys.session(1, IQN), 0, "sda", "8:0", "transport-offline")
    (disk,) = await sys.devices.disks(IQN)
    with pytest.raises(Unavailable, match="transport-offline"):
        await sys.devices.identity(disk)


async def test_a_disk_without_a_node_is_silent(sys: Sys, tmp_path: Path) -> None:
    sys.disk(sys.session(1, IQN), 0, "sda", "8:0")
    sys.block("8:0", "sda", 8)
    (disk,) = await sys.devices.disks(IQN)
    with pytest.raises(Unavailable, match="is not there"):
        await sys.devices.identity(disk)
    (tmp_path / "dev/sda").write_text("another's")
    with pytest.raises(Unavailable, match="is not block device"):
        await sys.devices.identity(disk)


async def test_sizes_are_bytes(sys: Sys) -> None:
    sys.block("253:3", "dm-3", 131072)
    assert await sys.devices.size((253, 3)) == 64 << 20
    with pytest.raises(NotFound):
        await sys.devices.size((253, 4))


def test_a_path_is_proven_by_its_number(sys: Sys, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="253:3"):
        sys.devices.path((253, 3))
    sys.block("253:3", "dm-3", 8)
    assert sysfs.device_name(sys.root, (253, 3)) == "dm-3"
    with pytest.raises(NotFound, match="is not there"):
        sys.devices.path((253, 3))
    (tmp_path / "dev/dm-3").write_text("a file, not the device")
    with pytest.raises(NotFound, match="is not block device"):
        sys.devices.path((253, 3))
