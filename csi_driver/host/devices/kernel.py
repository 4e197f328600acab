"""The real host's block devices."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import struct
import time
from contextlib import closing
from pathlib import Path

from csi_driver.errors import InternalError, NotFound, Unavailable
from csi_driver.host.devices import blank, scsi, sgio, sysfs
from csi_driver.host.doors import numbers
from csi_driver.host.doors.devices import ScsiDisk, ScsiIdentity
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect

PATIENCE = 5.0
"""Seconds that a device may take to say who it is."""
_RUNNING = "running"
_BLKZEROOUT = 0x127F
_ZERO_STEP = 64 * 1024 * 1024


class KernelDevices:
    """``doors.Devices`` on the real kernel."""

    def __init__(
        self, effects: Effects, *, sys: Path = sysfs.SYSFS, dev: Path = Path("/dev"), patience: float = PATIENCE
    ) -> None:
        self.effects, self._sys, self._dev, self._patience = effects, sys, dev, patience

    def path(self, devno: tuple[int, int]) -> str:
        """See ``Devices.path``. NotFound if there is no such device, or its node in /dev is another's."""
        path = self._dev / sysfs.device_name(self._sys, devno)
        try:
            found = path.stat()
        except OSError as error:
            raise NotFound(f"{path}, the node of block device {numbers(devno)}, is not there") from error
        if not _is_device(found, devno):
            raise NotFound(f"{path} is not block device {numbers(devno)}: is /dev the host's own?")
        return str(path)

    async def size(self, devno: tuple[int, int]) -> int:
        """See ``Devices.size``."""
        return sysfs.device_size(self._sys, devno)

    async def disks(self, iqn: str) -> tuple[ScsiDisk, ...]:
        """See ``Devices.disks``."""
        return sysfs.session_disks(self._sys, iqn)

    async def identity(self, disk: ScsiDisk) -> ScsiIdentity:
        """See ``Devices.identity``. Takes twice ``patience`` seconds at most."""
        end, pause = time.monotonic() + self._patience, 0.005
        while True:
            try:
                return await self._asked(disk)
            except _NotYet:
                if time.monotonic() >= end:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.1)

    async def used(self, path: str) -> str:
        """See ``Devices.used``. A disk that does not answer is not blank."""
        try:
            what = f"the disk {path}"
            return await blocking.answer(lambda: blank.used(path, self._sys), what, seconds=2 * self._patience)
        except Unavailable as error:
            return str(error)

    @effect("devices.rescan")
    async def rescan(self, disk: ScsiDisk) -> None:
        """See ``Devices.rescan``. NotFound when the disk is gone, Unavailable when it does not answer."""
        if self._standing(disk) is None:
            raise NotFound(f"the disk {disk.name} of {disk.iqn} is gone")
        await self._tell(self._sys / "block" / disk.name / "device/rescan", "1")

    @effect("devices.scan")
    async def scan(self, iqn: str) -> None:
        """See ``Devices.scan``. Unavailable when it takes long: the session is down."""
        for file in sysfs.scan_files(self._sys, iqn):
            # Any channel and target, LUN 0 alone: our targets have no other.
            await self._tell(file, "- - 0")

    @effect("devices.delete")
    async def delete(self, disk: ScsiDisk) -> None:
        """See ``Devices.delete``. Waits for what is in flight."""
        if self._standing(disk) is None:
            return
        file = self._sys / "block" / disk.name / "device/delete"
        await blocking.call(lambda: _write_if_there(file, "1"), name=f"delete {disk.name}")

    @effect("devices.flush")
    async def flush(self, devno: tuple[int, int]) -> None:
        """See ``Devices.flush``. InternalError when the device fails."""
        path = self.path(devno)
        await blocking.call(lambda: _flush(path, devno), name=f"flush {path}")

    @effect("devices.zero")
    async def zero(self, devno: tuple[int, int], *, offset: int, length: int) -> None:
        """See ``Devices.zero``. InternalError when the device fails."""
        path = self.path(devno)
        await blocking.call(lambda: _zero(path, devno, offset, length), name=f"zero {path}")

    async def _asked(self, disk: ScsiDisk) -> ScsiIdentity:
        standing, what = self._standing(disk), f"the disk {disk.name}"
        state = standing.state if standing else "gone"
        if state != _RUNNING:
            # A command to it would wait for the session, and its thread with it, up to replacement_timeout.
            raise Unavailable(f"{what} of {disk.iqn} is {state}")
        try:
            path = self.path(disk.devno)
        except NotFound as error:
            # The kernel shows it in sysfs a moment before it makes its node in /dev.
            raise _NotYet(str(error)) from error
        patience = self._patience
        return await blocking.answer(lambda: _identify(path, disk.devno, patience), what, seconds=patience)

    def _standing(self, disk: ScsiDisk) -> ScsiDisk | None:
        """The same disk as it is now: its name may have become another's."""
        now = sysfs.session_disks(self._sys, disk.iqn)
        return next((it for it in now if (it.name, it.devno, it.lun) == (disk.name, disk.devno, disk.lun)), None)

    async def _tell(self, file: Path, word: str) -> None:
        await blocking.answer(lambda: _write_if_there(file, word), str(file), seconds=2 * self._patience)


def _identify(path: str, devno: tuple[int, int], seconds: float) -> ScsiIdentity:
    with closing(_Opened(path, devno, os.O_RDONLY | os.O_NONBLOCK)) as device:

        def ask(command: bytes) -> bytes:
            return sgio.ask(device.descriptor, command, seconds=seconds)

        return ScsiIdentity(
            serial=scsi.serial(ask(scsi.inquiry(0x80))),
            naa=scsi.naa(ask(scsi.inquiry(0x83))),
            size=scsi.capacity(ask(scsi.read_capacity())),
            read_only=scsi.write_protected(ask(scsi.mode_sense())),
        )


def _flush(path: str, devno: tuple[int, int]) -> None:
    with closing(_Opened(path, devno, os.O_RDONLY)) as device:
        try:
            os.fsync(device.descriptor)
        except OSError as error:
            raise InternalError(f"cannot flush {path}: {error.strerror}") from error


def _zero(path: str, devno: tuple[int, int], offset: int, length: int) -> None:
    with closing(_Opened(path, devno, os.O_RDWR)) as device:
        try:
            # In steps: the ioctl cannot be interrupted, and a process that ends should not wait for a whole disk.
            for start in range(offset, offset + length, _ZERO_STEP):
                step = min(_ZERO_STEP, offset + length - start)
                fcntl.ioctl(device.descriptor, _BLKZEROOUT, struct.pack("=QQ", start, step))
            os.fsync(device.descriptor)
        except OSError as error:
            raise InternalError(f"cannot write zeros to {path}: {error.strerror}") from error


class _NotYet(Unavailable):
    """A disk that is being added: it can be used in a moment, unless it is on its way out."""


class _Opened:
    """A block device, opened by path and proven by number."""

    def __init__(self, path: str, devno: tuple[int, int], flags: int) -> None:
        try:
            self.descriptor = os.open(path, flags | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NotFound(f"{path} is gone") from error
        except OSError as error:
            # ENXIO and EIO are how a disk of a dead session fails: nothing follows from them about its content. ENXIO
            # is how a new one fails as well: the kernel makes its node before it lets anyone open it (device_add_disk
            # in block/genhd.c: device_add, later bdev_add).
            kind = _NotYet if error.errno == errno.ENXIO else Unavailable
            raise kind(f"{path} cannot be opened: {error.strerror}") from error
        if not _is_device(os.fstat(self.descriptor), devno):
            self.close()
            raise NotFound(f"{path} is no longer block device {numbers(devno)}")

    def close(self) -> None:
        """Let it go."""
        os.close(self.descriptor)


def _is_device(found: os.stat_result, devno: tuple[int, int]) -> bool:
    return stat.S_ISBLK(found.st_mode) and (os.major(found.st_rdev), os.minor(found.st_rdev)) == devno


def _write_if_there(file: Path, word: str) -> None:
    try:
        file.write_text(word)
    except FileNotFoundError:
        return  # gone meanwhile: there is nothing left to tell
    except OSError as error:
        raise Unavailable(f"cannot write {file}: {error.strerror}") from error
