"""What an export should be, and what is found of one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret
from csi_driver.model.volume import WriteCache


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """One initiator that may log in, by its iSCSI name in lower case, with a CHAP pair of its own."""

    initiator: str
    chap_user: str
    secret: Secret
    write_protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """An order: this volume, for that initiator. IQN, serial and names in configfs follow from the volume's id."""

    volume: VolumeId
    device: str
    """Path of the wrapper over the LV, as ``Devices.path`` gives it (``/dev/dm-3``). The target asks it for its size,
    and sees it grow (kernel.md 3).
    """
    portals: tuple[str, ...]
    """``address:port`` to listen on, IPv6 in brackets; exactly these."""
    initiator: str
    """iSCSI name of the one that may log in, lower case."""
    chap_user: str
    secret: Secret
    write_protected: bool = False
    beside: tuple[Admission, ...] = ()
    """Others that may log in as well. All are let in before the target is enabled."""
    mutual: bool = False
    """Prove the target to consumers that ask for it, with ``secret.answer()``. Kernels before 6.0 then refuse those
    that do not ask."""
    reservations: bool = False
    """Offer SCSI-3 persistent reservations."""
    remembered: tuple[str, ...] = ()
    """Registrations that an earlier boot has left (``host.lio.reservations``), given to a backstore that is made."""
    write_cache: WriteCache = WriteCache.THROUGH
    unmap: bool = True
    """Offer discard, where the device can do it."""

    @property
    def admissions(self) -> tuple[Admission, ...]:
        """Everyone who may log in."""
        own = Admission(
            initiator=self.initiator,
            chap_user=self.chap_user,
            secret=self.secret,
            write_protected=self.write_protected,
        )
        return (*self.beside, own)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An export that stands, perhaps half made or half removed."""

    volume: VolumeId
    enabled: bool
    initiators: tuple[str, ...]
    portals: tuple[str, ...]
    device: str
    """What the backstore was opened on; empty while there is no such backstore."""
    mapped: bool
    """LUN 0 leads to the backstore."""


class SessionState(StrEnum):
    """How far a session on the target's side is."""

    LOGGED_IN = "logged-in"
    FAILED = "failed"
    FREE = "free"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class TargetSession:
    """A session of an initiator, as the target sees it. ``addresses``: one for each connection."""

    initiator: str
    state: SessionState
    addresses: tuple[str, ...]
