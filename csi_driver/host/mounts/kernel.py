"""The real host's mounts, by mount(2) and not by mount(8).

The system call tells what went wrong by number, takes options as they are (SELinux contexts too), and helps itself
with nothing: no loop device, no helper program, no /run/mount/utab, no guess at a file system. It costs no process.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from csi_driver.errors import Busy, DriverError, InternalError, NotFound, Precondition, Unavailable
from csi_driver.host.doors.mounts import Mount, Usage
from csi_driver.host.mounts import options as mount_options
from csi_driver.host.mounts import syscalls, table
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.access import FsType

MOUNTINFO = Path("/proc/self/mountinfo")
PATIENCE = 5.0
"""Seconds that a file system may take to tell its usage."""
_SILENT = {errno.EIO, errno.ENXIO, errno.EREMOTEIO, errno.ENOLINK, errno.ETIMEDOUT, errno.ENODATA}
_UNFIT = {errno.EINVAL, errno.EUCLEAN, errno.ENODEV, errno.EROFS, errno.EACCES, errno.ENOTBLK, errno.EBADMSG}
_GONE = {errno.ENOENT, errno.ENOTDIR}
_OWN_FLAGS = mount_options.NOSUID | mount_options.NODEV | mount_options.NOEXEC
T = TypeVar("T")


class KernelMounts:
    """``doors.Mounts`` on the real kernel, in this process's mount namespace."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self._asked: dict[str, asyncio.Task[Usage]] = {}

    async def table(self) -> tuple[Mount, ...]:
        """See ``Mounts.table``."""
        return _table()

    @effect("mounts.mount")
    async def mount(self, path: str, target: str, *, fs: FsType, options: tuple[str, ...]) -> None:
        """See ``Mounts.mount``. Waits for the journal's replay.

        InvalidRequest for an option that no volume can have; NotFound without device or target; Busy when the device
        is held by another or mounted there already; Unavailable when the device fails; Precondition when the kernel
        refuses it: no such file system on it, damaged, an unknown option, or read-only where writing was asked for.
        """
        flags, data = mount_options.split(options)
        what = f"mount {path} on {target} as {fs.value} ({','.join(options) or 'no options'})"
        await _call(lambda: syscalls.mount(path, target, fs.value, flags, data), what)

    @effect("mounts.bind")
    async def bind(self, source: str, target: str, *, readonly: bool) -> None:
        """See ``Mounts.bind``. Bound already: only made read-only where that is missing. NotFound, Busy."""
        await _call(lambda: _bind(source, target, readonly=readonly), f"bind {source} to {target}")

    @effect("mounts.unmount")
    async def unmount(self, target: str) -> None:
        """See ``Mounts.unmount``. Waits until everything is written."""
        await _call(lambda: _unmount(target), f"unmount {target}")

    @effect("mounts.make_folder")
    async def make_folder(self, path: str) -> None:
        """See ``Mounts.make_folder``. Its parents too. Precondition when something else is there."""
        await _call(lambda: Path(path).mkdir(mode=0o750, parents=True, exist_ok=True), f"make the folder {path}")

    @effect("mounts.make_file")
    async def make_file(self, path: str) -> None:
        """See ``Mounts.make_file``. Its parents too. Precondition when something else is there."""
        await _call(lambda: _make_file(path), f"make the file {path}")

    @effect("mounts.remove")
    async def remove(self, path: str) -> None:
        """See ``Mounts.remove``. Busy while something is mounted there, Precondition when it is not empty."""
        await _call(lambda: _remove(path), f"remove {path}")

    async def device_at(self, path: str) -> tuple[int, int] | None:
        """See ``Mounts.device_at``."""
        found = await _call(lambda: _stat(path), f"look at {path}")
        if found is None or not stat.S_ISBLK(found.st_mode):
            return None
        return os.major(found.st_rdev), os.minor(found.st_rdev)

    async def exists(self, path: str) -> bool:
        """See ``Mounts.exists``. A broken link is something too."""
        return await _call(lambda: os.path.lexists(path), f"look at {path}")

    async def usage(self, path: str) -> Usage:
        """See ``Mounts.usage``. NotFound if nothing is there."""
        task = self._asked.get(path)
        if task is None:
            # One question at a time for each path: each that hangs keeps a thread.
            task = asyncio.create_task(_call(lambda: _usage(path), f"ask {path} for its usage"))
            self._asked[path] = task
            task.add_done_callback(lambda done: self._answered(path, done))
        try:
            return await asyncio.wait_for(asyncio.shield(task), PATIENCE)
        except TimeoutError as error:
            raise Unavailable(f"the file system at {path} has not answered within {PATIENCE:.0f} s") from error

    def _answered(self, path: str, task: asyncio.Task[Usage]) -> None:
        del self._asked[path]
        if not task.cancelled():
            task.exception()  # seen, also when nobody waits any more


def _table() -> tuple[Mount, ...]:
    return table.parse(MOUNTINFO.read_text())


def _topmost(target: str) -> Mount | None:
    return next((mount for mount in reversed(_table()) if mount.target == target), None)


def _bind(source: str, target: str, *, readonly: bool) -> None:
    standing = _topmost(os.path.realpath(target))
    if standing is None or not _same(source, target):
        syscalls.mount(source, target, "", mount_options.BIND, "")
        standing = _topmost(os.path.realpath(target))
    if readonly and standing is not None and "ro" not in standing.options:
        # A bind mount is made read-only in a second step only (mount(2)); its other flags would be cleared by it.
        kept = mount_options.flags_of(standing.options) & _OWN_FLAGS
        flags = mount_options.BIND | mount_options.REMOUNT | mount_options.RDONLY | kept
        syscalls.mount("none", target, "", flags, "")


def _same(one: str, other: str) -> bool:
    """Whether both paths lead to one file: then the source is bound there already."""
    return os.path.samestat(Path(one).stat(), Path(other).stat())


def _unmount(target: str) -> None:
    try:
        syscalls.unmount(target)
    except OSError as error:
        # EINVAL: there is something, but nothing mounted on it (umount2(2)).
        if error.errno not in (errno.EINVAL, *_GONE):
            raise


def _make_file(path: str) -> None:
    Path(path).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    except FileExistsError:
        # A device that is bound there already stands on a file.
        if Path(path).is_dir():
            raise


def _remove(path: str) -> None:
    found = _stat(path, follow=False)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode):
        Path(path).rmdir()
    elif stat.S_ISREG(found.st_mode) and found.st_size > 0:
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), path)
    else:
        Path(path).unlink()


def _stat(path: str, *, follow: bool = True) -> os.stat_result | None:
    try:
        return Path(path).stat(follow_symlinks=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _usage(path: str) -> Usage:
    found = os.statvfs(path)
    block = found.f_frsize
    return Usage(
        total=found.f_blocks * block,
        used=(found.f_blocks - found.f_bfree) * block,
        available=found.f_bavail * block,
        inodes=found.f_files,
        inodes_used=found.f_files - found.f_ffree,
        inodes_free=found.f_ffree,
    )


async def _call(act: Callable[[], T], what: str) -> T:
    def guarded() -> T:
        try:
            return act()
        except OSError as error:
            raise explain(error, what) from error

    return await blocking.call(guarded, name=what)


def explain(error: OSError, what: str) -> DriverError:
    """The error by its meaning: unknown is not absent, and only what is over is final."""
    said = f"cannot {what}: {os.strerror(error.errno or 0)}"
    if error.errno in _GONE:
        return NotFound(said)
    if error.errno == errno.EBUSY:
        return Busy(said)
    if error.errno in _SILENT:
        return Unavailable(said)
    if error.errno in _UNFIT:
        return Precondition(f"{said}; the kernel's log says more")
    if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.EISDIR):
        return Precondition(said)
    return InternalError(said)
