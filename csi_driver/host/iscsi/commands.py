"""iscsiadm's command lines, and what its exit statuses mean (iscsiadm(8), "EXIT STATUS")."""

from __future__ import annotations

from csi_driver.errors import CommandFailed, Denied, DriverError, NotFound, Unavailable
from csi_driver.kit.run import Command, Result

ANY = frozenset(range(256))
EXISTS, NOTHING_FOUND = 15, 21
_DENIED = 24
_UNAVAILABLE = {
    1: "iscsiadm could not say why",
    2: "the session was not found",
    4: "the connection failed",
    5: "the login failed",
    6: "its database is in use or cannot be read",
    8: "the target did not answer in time",
    9: "iscsid failed",
    10: "the logout failed",
    11: "the target did not answer in time",
    12: "the kernel module iscsi_tcp is not loaded",
    18: "iscsid does not answer",
    19: "the target refused the login for now",
    20: "iscsid is not running on this host",
    22: "sysfs could not be read",
    23: "the host was not found",
    29: "iscsid is in the middle of another login",
    32: "the target is not connected; iscsid is still trying",
}


def new_record(iqn: str, portal: str) -> Command:
    """Make a record with this host's defaults."""
    return Command(argv=("iscsiadm", "-m", "node", "-o", "new", "-T", iqn, "-p", portal), timeout=30)


def login(iqn: str, portal: str) -> Command:
    """Log in by a record. The limit is far above what the record's own limits add up to: killing iscsiadm would
    not call the login off (kernel.md 9).
    """
    return Command(argv=("iscsiadm", "-m", "node", "-T", iqn, "-p", portal, "--login"), timeout=60, ok=ANY)


def logout(sid: int) -> Command:
    """End one session. By its number, so that it works without a record too."""
    return Command(argv=("iscsiadm", "-m", "session", "-r", str(sid), "--logout"), timeout=60, ok=ANY)


def failure(verb: str, iqn: str, result: Result) -> DriverError:
    """What a status other than 0 says of ``verb`` (login, logout)."""
    if result.status == _DENIED:
        return Denied(f"{iqn}: the target refuses this host's initiator name or CHAP secret")
    if result.status == NOTHING_FOUND:
        return NotFound(f"{iqn}: {verb}: iscsiadm finds no such record or session")
    if (meaning := _UNAVAILABLE.get(result.status)) is not None:
        return Unavailable(f"{iqn}: {verb}: {meaning} (iscsiadm status {result.status}: {_line(result.stderr)})")
    return CommandFailed("iscsiadm", result.status, result.stderr)


def _line(text: str) -> str:
    """The one line of iscsiadm's complaint that says most."""
    lines = [line.removeprefix("iscsiadm: ") for line in text.strip().splitlines()]
    return next((line for line in lines if "reported error" in line), lines[0] if lines else "no message")
