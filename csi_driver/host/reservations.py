"""The files in which the kernel's target keeps persistent reservations, in the folder that it names itself."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_driver.errors import InternalError, Unavailable
from csi_driver.host.configfs import ROOT
from csi_driver.host.doors.reservations import SavedReservations
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect

T = TypeVar("T")
_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602
_SYNC = 0x8
"""FS_IOC_GETFLAGS, FS_IOC_SETFLAGS and FS_SYNC_FL of linux/fs.h: what ``chattr +S`` does."""


class TargetFiles:
    """``doors.Reservations`` on the real host. ``root``: its root as the kernel sees it (``place.host_root``)."""

    def __init__(self, effects: Effects, *, root: Path = Path("/"), target: Path = ROOT) -> None:
        self.effects, self._root, self._target = effects, root, target

    @effect("reservations.prepare")
    async def prepare(self) -> None:
        """See ``Reservations.prepare``."""
        await self._reached(lambda: _prepare(self._folder()))

    async def read(self, serial: str) -> SavedReservations | None:
        """See ``Reservations.read``."""
        return await self._reached(lambda: _read(self._file(serial)))

    @effect("reservations.forget")
    async def forget(self, serial: str) -> None:
        """See ``Reservations.forget``."""
        await self._reached(lambda: self._file(serial).unlink(missing_ok=True))

    def _folder(self) -> Path:
        """As ``dbroot`` says: /etc/target where that was there when the module was loaded, else /var/target."""
        try:
            named = (self._target / "dbroot").read_text().strip()
        except FileNotFoundError as error:
            raise Unavailable(f"{self._target} is not there: is target_core_mod loaded?") from error
        return self._root / named.lstrip("/") / "pr"

    def _file(self, serial: str) -> Path:
        return self._folder() / f"aptpl_{serial}"

    async def _reached(self, act: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return act()
            except OSError as error:
                raise InternalError(f"the target's reservations cannot be reached: {error}") from error

        return await blocking.call(guarded, name="reservations")


def _prepare(folder: Path) -> None:
    """What the kernel writes here is on disk before it acknowledges a registration: it does not fsync by itself.

    New files take the flag from their folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder, *folder.glob("aptpl_*")):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            (flags,) = struct.unpack("=l", fcntl.ioctl(descriptor, _GET_FLAGS, struct.pack("=l", 0)))
            if not flags & _SYNC:
                fcntl.ioctl(descriptor, _SET_FLAGS, struct.pack("=l", flags | _SYNC))
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EOPNOTSUPP):
                raise OSError(error.errno, f"{path} is on a file system without synchronous files") from error
            raise
        finally:
            os.close(descriptor)


def _read(path: Path) -> SavedReservations | None:
    try:
        return SavedReservations(path.read_text(errors="replace"), path.stat().st_mtime)
    except FileNotFoundError:
        return None
