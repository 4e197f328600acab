"""The kernel's iSCSI target through its configfs tree.

Each operation runs in a thread of its own: the ``rmdir`` of an ACL waits as long as the disk behind it does
(mechanisms.md 2), and while it waits even a listing of that ``acls`` folder does.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_driver.errors import Busy, DriverError, InternalError, NotFound, Unavailable
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect

ROOT = Path("/sys/kernel/config/target")
T = TypeVar("T")


class KernelConfigfs:
    """``doors.Configfs`` on the real kernel."""

    def __init__(self, effects: Effects, root: Path = ROOT) -> None:
        self.effects, self._root = effects, root

    @effect("configfs.make")
    async def make(self, path: str) -> None:
        """See ``Configfs.make``. NotFound without its parent, Unavailable when the target module is not loaded."""
        await self._call("make", path, lambda: _make(self._root / path))

    @effect("configfs.remove")
    async def remove(self, path: str) -> None:
        """See ``Configfs.remove``. Busy while something is in it or points to it."""
        await self._call("remove", path, lambda: _forgiving((self._root / path).rmdir))

    @effect("configfs.write")
    async def write(self, path: str, value: str) -> None:
        """See ``Configfs.write``. NotFound if the kernel has no such attribute."""
        await self._call("write", path, lambda: _write(self._root / path, value))

    @effect("configfs.link")
    async def link(self, path: str, target: str) -> None:
        """See ``Configfs.link``."""
        await self._call("link", path, lambda: _link(self._root / path, self._root / target))

    @effect("configfs.unlink")
    async def unlink(self, path: str) -> None:
        """See ``Configfs.unlink``."""
        await self._call("unlink", path, lambda: _forgiving((self._root / path).unlink))

    async def read(self, path: str) -> str:
        """See ``Configfs.read``."""
        return await self._call("read", path, lambda: (self._root / path).read_text().strip())

    async def listing(self, path: str) -> tuple[str, ...]:
        """See ``Configfs.listing``."""
        try:
            return await self._call("list", path, lambda: _listing(self._root / path))
        except NotFound:
            return ()

    async def _call(self, verb: str, path: str, act: Callable[[], T]) -> T:
        def guarded() -> T:
            try:
                return act()
            except OSError as error:
                raise self._explain(error, verb, path) from error

        return await blocking.call(guarded, name=f"configfs {verb} {path}")

    def _explain(self, error: OSError, verb: str, path: str) -> DriverError:
        """The error by its meaning. Never names the value written: it may be a secret."""
        name = errno.errorcode.get(error.errno or 0, str(error.errno))
        said = f"the kernel's target: cannot {verb} {path}: {os.strerror(error.errno or 0)} ({name})"
        if error.errno == errno.ENOENT:
            if not self._root.is_dir():
                return Unavailable(f"{self._root} is not there: is target_core_mod loaded and configfs mounted?")
            return NotFound(said)
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return Busy(said)
        return InternalError(said)


def _make(path: Path) -> None:
    path.mkdir(exist_ok=True)


def _forgiving(act: Callable[[], None]) -> None:
    try:
        act()
    except FileNotFoundError:
        return


def _write(path: Path, value: str) -> None:
    # One write(2): configfs takes each as a whole order.
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _link(path: Path, target: Path) -> None:
    try:
        path.symlink_to(target)
    except FileExistsError:
        if not path.is_symlink():
            raise


def _listing(path: Path) -> tuple[str, ...]:
    with os.scandir(path) as entries:
        return tuple(sorted(entry.name for entry in entries if entry.is_symlink() or entry.is_dir()))
