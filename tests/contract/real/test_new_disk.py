"""A SCSI disk that the kernel is still adding: sysfs shows it and its node is there, but nobody may open it yet."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from csi_driver.errors import Unavailable
from csi_driver.host.devices.kernel import KernelDevices
from csi_driver.host.dm import tables
from csi_driver.host.doors import ScsiDisk, numbers
from csi_driver.host.lio import targets
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, HostRunner
from csi_driver.model.sizes import SECTOR
from tests.contract.exporting import SIZE, VOLUME, Exporting, host, logged_in, spec

__all__ = ["host", "spec"]

MINOR = 777
"""Of a device-mapper device that does not exist: opening its node fails with ENXIO, as that of a new disk does."""


class Coming:
    """A disk of ours on a sysfs and a /dev of its own, whose node comes before its device."""

    def __init__(self, folder: Path) -> None:
        major = next(line.split()[0] for line in Path("/proc/devices").read_text().splitlines() if "mapper" in line)
        self.disk = ScsiDisk(name="sdx", devno=(int(major), MINOR), iqn=VOLUME.iqn, lun=0, state="running")
        sys, dev = folder / "sys", folder / "dev"
        device = sys / "devices/platform/host9/session9/target9:0:0/9:0:0:0"
        (device / "block/sdx").mkdir(parents=True)
        (device / "block/sdx/dev").write_text(f"{numbers(self.disk.devno)}\n")
        (device / "state").write_text("running\n")
        session = sys / "class/iscsi_session/session9"
        session.mkdir(parents=True)
        (session / "targetname").write_text(f"{VOLUME.iqn}\n")
        (session / "device").symlink_to(sys / "devices/platform/host9/session9")
        shown = sys / "dev/block" / numbers(self.disk.devno)
        shown.mkdir(parents=True)
        (shown / "uevent").write_text("DEVNAME=sdx\n")
        dev.mkdir()
        os.mknod(dev / "sdx", 0o600 | stat.S_IFBLK, os.makedev(*self.disk.devno))
        self.devices = KernelDevices(Effects(), sys=sys, dev=dev, patience=10)


async def dmsetup(*words: str) -> None:
    await HostRunner().run(Command(argv=("dmsetup", *words)))


async def test_it_is_asked_as_soon_as_it_can_be_opened(
    host: Exporting, spec: targets.TargetSpec, tmp_path: Path
) -> None:
    real, coming = await logged_in(host, spec), Coming(tmp_path)
    asking = asyncio.create_task(coming.devices.identity(coming.disk))
    await asyncio.sleep(0.5)
    assert not asking.done()
    (line,) = tables.linear(real.devno, SIZE // SECTOR)
    table = f"{line.start} {line.length} {line.target} {line.args}"
    await dmsetup("create", "late", "--major", str(coming.disk.devno[0]), "--minor", str(MINOR), "--table", table)
    try:
        assert (await asking).serial == VOLUME.serial
    finally:
        await dmsetup("remove", "--retry", "late")


async def test_one_that_never_can_be_is_unavailable(tmp_path: Path) -> None:
    coming = Coming(tmp_path)
    impatient = KernelDevices(Effects(), sys=tmp_path / "sys", dev=tmp_path / "dev", patience=1)
    # The kernel may look for a module that has such devices for longer than that.
    with pytest.raises(Unavailable, match=r"sdx (cannot be opened|has not answered)"):
        await impatient.identity(coming.disk)
