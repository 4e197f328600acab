"""Where the host's iscsiadm is.

It has to be the one that fits the host's iscsid, and it has to see that daemon's files; so in a container it is
run in the namespaces of the host's PID 1, and its files are reached through the same process (csi.md,
``nsenter``).
"""

from __future__ import annotations

from pathlib import Path

from csi_driver.errors import InvalidRequest

PROC = Path("/proc")
_INTO_HOST = ("nsenter", "--target", "1", "--mount", "--net", "--uts", "--ipc", "--")


def iscsiadm_prefix(setting: str, proc: Path = PROC) -> tuple[str, ...]:
    """What goes before iscsiadm's argv, for ``ConsumerSettings.iscsiadm``; InvalidRequest for an unknown value."""
    return _INTO_HOST if _in_host(setting, proc) else ()


def host_root(setting: str, proc: Path = PROC) -> Path:
    """The root folder as that iscsiadm sees it."""
    return proc / "1" / "root" if _in_host(setting, proc) else Path("/")


def _in_host(setting: str, proc: Path) -> bool:
    if setting == "auto":
        # Links of equal text are the same namespace (namespaces(7)). PID 1 is the host's only with hostPID; without
        # it, it is our own container's, and direct is right.
        return (proc / "self/ns/mnt").readlink() != (proc / "1/ns/mnt").readlink()
    if setting not in ("direct", "host"):
        raise InvalidRequest(f"consumer.iscsiadm is {setting!r}; it can be auto, direct or host")
    return setting == "host"
