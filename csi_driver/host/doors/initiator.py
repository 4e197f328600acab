"""The door to open-iscsi."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from csi_driver.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Session:
    """One iSCSI session of this host. ``state`` is the kernel's: LOGGED_IN, FAILED, FREE."""

    sid: int
    iqn: str
    portal: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRecord:
    """A static open-iscsi record: one target by one portal. Times in seconds."""

    iqn: str
    portal: str
    chap_user: str
    secret: Secret
    mutual: bool = False
    """Let the target prove itself too, with ``secret.answer()``, before anything is believed that it says."""
    replacement_timeout: int = 900
    login_timeout: int = 3
    noop_interval: int = 5
    noop_timeout: int = 5


class Initiator(Protocol):
    """open-iscsi: the host's own iscsiadm for records and sessions, sysfs for looking."""

    async def name(self) -> str:
        """The host's initiator name, lower case. Unavailable when the host has none."""
        ...

    async def sessions(self) -> tuple[Session, ...]:
        """All sessions, from sysfs."""
        ...

    async def records(self) -> tuple[tuple[str, str], ...]:
        """(iqn, portal) of every node record that names one of our targets."""
        ...

    async def put_record(self, record: NodeRecord) -> None:
        """Make or overwrite a record: startup and scan manual, CHAP, times. The secret never in argv."""
        ...

    async def remove_record(self, iqn: str) -> None:
        """Remove every record of the target; fine when there is none."""
        ...

    async def login(self, iqn: str, portal: str) -> None:
        """Log in; fine when logged in. Denied when the target refuses us, Unavailable when it does not answer."""
        ...

    async def logout(self, iqn: str) -> None:
        """End every session to the target; fine when there is none. Unavailable while iscsid cannot."""
        ...
