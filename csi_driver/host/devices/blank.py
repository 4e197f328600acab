"""Whether a disk is in use, or ever was: only a blank one becomes part of a pool (DESIGN 3). Nothing is written."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from csi_driver.model.sizes import MIB, show

ENDS = MIB
"""Bytes at each end that have to be zero: what libblkid knows (file systems, partition tables, RAIDs, volume managers)
begins there."""
SMALLEST = 256 * MIB
"""Below this a pool's own metadata takes most of it."""

_SIGNS: tuple[tuple[int, bytes, str], ...] = (
    (510, b"\x55\xaa", "a partition table"),
    (512, b"EFI PART", "a partition table"),
    (0, b"LUKS", "a LUKS volume"),
    (0, b"XFSB", "an xfs file system"),
    (1080, b"\x53\xef", "an ext file system"),
    (65600, b"_BHRfS_M", "a btrfs file system"),
    (4086, b"SWAPSPACE2", "swap space"),
    (4096, b"\xfc\x4e\x2b\xa9", "a member of an md array"),
    *((512 * sector, b"LABELONE", "an LVM physical volume") for sector in range(4)),
)
"""For the words alone: what is not in this list is not blank either."""


def used(path: str, sys: Path = Path("/sys")) -> str:
    """Why the block device at ``path`` is not a blank one that nobody uses, in words; empty when it is."""
    try:
        device = os.open(path, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC)
    except OSError as error:
        return "something has it open for itself" if error.errno == errno.EBUSY else f"cannot open it: {error.strerror}"
    try:
        return _used(device, sys)
    except OSError as error:
        return f"cannot read it: {error.strerror}"
    finally:
        os.close(device)


def _used(device: int, sys: Path) -> str:
    found = os.fstat(device)
    if not stat.S_ISBLK(found.st_mode):
        return "it is no block device"
    return _claimed(sys / f"dev/block/{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}") or _written(device)


def _claimed(folder: Path) -> str:
    if any((folder / "holders").iterdir()):
        return "other devices lie on it"
    if any((part / "partition").exists() for part in folder.iterdir() if part.is_dir()):
        return "it has partitions"
    return "it is read-only" if (folder / "ro").read_text().strip() != "0" else ""


def _written(device: int) -> str:
    size = os.lseek(device, 0, os.SEEK_END)
    if size < SMALLEST:
        return f"it has {show(size)}, less than {show(SMALLEST)}"
    begin, end = os.pread(device, ENDS, 0), os.pread(device, ENDS, size - ENDS)
    if len(begin) != ENDS or len(end) != ENDS:
        return "cannot read all of it"
    for offset, sign, what in _SIGNS:
        if begin[offset : offset + len(sign)] == sign:
            return f"it holds {what}"
    for content, offset in ((begin, 0), (end, size - ENDS)):
        if (rest := content.lstrip(b"\0")) != b"":
            return f"something is written near byte {offset + ENDS - len(rest)}"
    return ""
