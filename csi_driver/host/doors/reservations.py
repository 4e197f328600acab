"""The door to what the kernel's target keeps of persistent reservations over a reboot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SavedReservations:
    """The target's file of one volume, and when it was written (Unix seconds)."""

    text: str
    written: float


class Reservations(Protocol):
    """Files of persistent reservations, by the volume's SCSI serial. The kernel writes them, if the folder is there."""

    async def prepare(self) -> None:
        """The folder exists: without it the kernel refuses a registration that is to survive."""
        ...

    async def read(self, serial: str) -> SavedReservations | None:
        """What was kept, or None."""
        ...

    async def forget(self, serial: str) -> None:
        """Remove it; fine when there is none."""
        ...
