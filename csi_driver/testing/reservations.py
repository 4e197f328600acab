"""The simulated files of persistent reservations: what a test says that the kernel wrote."""

from __future__ import annotations

from csi_driver.host.doors import SavedReservations
from csi_driver.kit.effects import Effects, effect
from csi_driver.testing.machine import Machine


class SimReservations:
    """The door ``Reservations``."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    @effect("reservations.prepare")
    async def prepare(self) -> None:
        """See ``Reservations.prepare``."""
        self._machine.disks.keeps_reservations = True

    async def read(self, serial: str) -> SavedReservations | None:
        """See ``Reservations.read``."""
        return self._machine.disks.reservations.get(serial)

    @effect("reservations.forget")
    async def forget(self, serial: str) -> None:
        """See ``Reservations.forget``."""
        self._machine.disks.reservations.pop(serial, None)
