"""Where sysfs shows block devices and the disks of iSCSI sessions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from csi_driver.errors import NotFound
from csi_driver.host.doors import numbers
from csi_driver.host.doors.devices import ScsiDisk
from csi_driver.model.sizes import SECTOR

SYSFS = Path("/sys")


def device_name(sysfs: Path, devno: tuple[int, int]) -> str:
    """The kernel's name of a block device, as below /dev. NotFound if there is none of that number."""
    try:
        uevent = (sysfs / "dev/block" / numbers(devno) / "uevent").read_text()
    except OSError as error:
        raise NotFound(f"there is no block device {numbers(devno)}") from error
    for line in uevent.splitlines():
        if line.startswith("DEVNAME="):
            return line.removeprefix("DEVNAME=")
    raise NotFound(f"block device {numbers(devno)} has no name")


def device_size(sysfs: Path, devno: tuple[int, int]) -> int:
    """Bytes, as the kernel knows them now. NotFound if there is no such device."""
    try:
        return int((sysfs / "dev/block" / numbers(devno) / "size").read_text()) * SECTOR
    except OSError as error:
        raise NotFound(f"there is no block device {numbers(devno)}") from error


def session_disks(sysfs: Path, iqn: str) -> tuple[ScsiDisk, ...]:
    """The disks of every session to ``iqn``. One that comes or goes meanwhile is left out."""
    found = (disk for session in _sessions(sysfs, iqn) for disk in _disks(session, iqn))
    return tuple(sorted(found, key=lambda disk: disk.devno))


def scan_files(sysfs: Path, iqn: str) -> tuple[Path, ...]:
    """The ``scan`` file of each SCSI host that has a session to ``iqn``."""
    hosts = [
        next((part.name for part in session.parents if part.name.startswith("host")), "")
        for session in _sessions(sysfs, iqn)
    ]
    return tuple(sysfs / "class/scsi_host" / host / "scan" for host in sorted(set(hosts)) if host)


def _sessions(sysfs: Path, iqn: str) -> Iterator[Path]:
    """The device folder of each session: ``/sys/devices/platform/host2/session1``."""
    folder = sysfs / "class/iscsi_session"
    for entry in folder.iterdir() if folder.is_dir() else ():
        if _text(entry / "targetname") == iqn:
            yield (entry / "device").resolve()


def _disks(session: Path, iqn: str) -> Iterator[ScsiDisk]:
    for device in session.glob("target*/*:*:*:*"):
        for block in (device / "block").glob("*"):
            major, _, minor = _text(block / "dev").partition(":")
            lun = device.name.rpartition(":")[2]
            if major and minor and lun.isdigit():
                yield ScsiDisk(
                    name=block.name,
                    devno=(int(major), int(minor)),
                    iqn=iqn,
                    lun=int(lun),
                    state=_text(device / "state"),
                )


def _text(path: Path) -> str:
    """The file's text; empty when it is gone."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""
