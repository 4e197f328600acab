"""Which options a stage mounts with, and which ones a user may add. Pure."""

from __future__ import annotations

import re

from csi_driver.errors import InvalidRequest
from csi_driver.model.access import FsType

_OPTION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/=+-]*")
_LABEL = re.compile(r'(?:context|fscontext|defcontext|rootcontext)=("?)[A-Za-z0-9_.:,+-]+\1')
"""SELinux labels: categories are joined by commas, hence the quotes (mount(8), "context="; csi.md 1.8)."""
_OURS = {"errors", "nouuid", "noload", "norecovery"}
"""What this driver decides: each protects data or makes the file system mountable at all."""
_OTHER_MOUNTS = {"bind", "rbind", "move", "remount", "loop", "offset", "sizelimit", "helper", "uhelper"}
_BASE: dict[FsType, tuple[str, ...]] = {
    # The default of many file systems is to go on after an error (failures.md I4).
    FsType.EXT4: ("errors=remount-ro",),
    # A fenced mount of the same file system may still stand on this host (mechanisms.md 1).
    FsType.XFS: ("nouuid",),
}
_READONLY: dict[FsType, tuple[str, ...]] = {
    # Replaying the journal would write, and the target refuses writes.
    FsType.EXT4: ("ro", "noload"),
    FsType.XFS: ("ro", "norecovery"),
}


def checked(flags: tuple[str, ...]) -> tuple[str, ...]:
    """``flags`` in the order given, each once. InvalidRequest names one that may not be asked for."""
    for flag in flags:
        if _LABEL.fullmatch(flag):
            continue
        name = flag.partition("=")[0]
        if not _OPTION.fullmatch(flag) or name.lower().startswith("x-"):
            raise InvalidRequest(f"mount option {flag!r} is not one option of letters, digits and _.:/=+-")
        if name in _OURS | _OTHER_MOUNTS:
            raise InvalidRequest(f"mount option {name!r} is decided by the driver; leave it out")
    return tuple(dict.fromkeys(flags))


def options(fs: FsType, flags: tuple[str, ...], *, readonly: bool) -> tuple[str, ...]:
    """All options of the mount of a stage. What the publication forbids is not loosened by ``rw`` in ``flags``."""
    if not readonly:
        return (*_BASE[fs], *flags)
    kept = tuple(flag for flag in flags if flag not in ("rw", "ro"))
    return (*_READONLY[fs], *_BASE[fs], *kept)
