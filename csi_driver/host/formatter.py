"""The door ``Formatter``: mkfs, on the storage node only."""

from __future__ import annotations

import os

from csi_driver.errors import CommandFailed, Incompatible
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect
from csi_driver.kit.run import Command, Runner
from csi_driver.model.access import FsType
from csi_driver.model.sizes import MIB

PREZEROED = "assume_storage_prezeroed"
"""An extended option of mke2fs 1.47 and later (mke2fs(8))."""

TIMEOUT = 1800.0
"""Seconds. An mkfs writes little; one that needs longer waits for a dead disk."""

ENDS = MIB
"""Bytes at each end of a device that have to be zero: the signatures of all file systems, partition tables, RAIDs and
volume managers that libblkid knows begin there."""


class Mkfs:
    """See ``doors.Formatter``.

    No force flags, and more than that: mkfs.ext4 asks before it overwrites only at a terminal, so this door itself
    refuses a device whose first or last MiB holds anything. A caller that knows the device to be its own (a volume
    that was just made, whose tag says that its file system is not finished) zeroes both ends first, through
    ``Devices.zero``: that is also how a format that a crash cut short is done again.
    """

    def __init__(self, runner: Runner, effects: Effects) -> None:
        self._runner = runner
        self.effects = effects

    @effect("formatter.make")
    async def make(self, path: str, *, fs: FsType, options: tuple[str, ...], blank: bool = False) -> None:
        """See ``Formatter.make``. Incompatible when the device is not blank at both ends."""
        await blocking.call(lambda: _check_blank(path), "mkfs look")
        try:
            await self._run(arguments(path, fs, options, blank=blank))
        except CommandFailed as error:
            if not blank or PREZEROED not in str(error):
                raise
            # mke2fs before 1.47 does not know the option, and says so before it writes anything.
            await self._run(arguments(path, fs, options))
        await blocking.call(lambda: _flush(path), "mkfs flush")

    async def _run(self, argv: tuple[str, ...]) -> None:
        await self._runner.run(Command(argv=argv, timeout=TIMEOUT))


def arguments(path: str, fs: FsType, options: tuple[str, ...], *, blank: bool = False) -> tuple[str, ...]:
    """The command line. The caller's options come last, so that they win.

    Nothing is discarded: a new volume has nothing to discard, and where it does its old data is not mkfs's business.
    ext4's inode tables are zeroed by the kernel at leisure after the first mount (mke2fs(8): lazy_itable_init), its
    journal now; and no blocks are kept for root, who does not live there. On a ``blank`` device neither is zeroed,
    now or later: a thin volume of 1 GiB then takes 1 MiB of its pool instead of 33.
    """
    if fs is FsType.EXT4:
        extended = "nodiscard,lazy_itable_init=1" + (f",{PREZEROED}=1" if blank else "")
        return ("mkfs.ext4", "-q", "-m", "0", "-E", extended, *options, path)
    return ("mkfs.xfs", "-q", "-K", *options, path)


def _check_blank(path: str) -> None:
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.lseek(device, 0, os.SEEK_END)
        for offset in (0, max(size - ENDS, 0)):
            found = os.pread(device, ENDS, offset)
            if not found or len(found) != min(ENDS, size) or found.count(0) != len(found):
                raise Incompatible(f"{path} is not blank near byte {offset}: it will not be formatted")
    finally:
        os.close(device)


def _flush(path: str) -> None:
    # For reading: udev looks anew at a device each time that a writer closes it.
    device = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(device)
    finally:
        os.close(device)
