"""The network between simulated hosts, and the one clock they share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from csi_driver.testing.store import Pulse

if TYPE_CHECKING:
    from csi_driver.testing.machine import Machine

PORT = 3260


class SimNetwork:
    """Machines by address. Links can be cut and machines be off."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.machines: dict[str, Machine] = {}
        self.violations: list[str] = []
        """Two hosts that wrote to one file system: what fencing must never let happen. Empty after each good test."""
        self._cut: set[frozenset[str]] = set()
        self._now = 1_800_000_000.0

    def join(self, machine: Machine) -> str:
        """Give the machine an address: what it is reached by."""
        self.machines[machine.name] = machine
        return f"10.0.0.{len(self.machines)}"

    def now(self) -> float:
        """Unix seconds; a millisecond later each time."""
        self._now += 0.001
        return self._now

    def cut(self, one: str, other: str) -> None:
        """Nothing gets through between two machines, by name, until ``heal``."""
        self._cut.add(frozenset((one, other)))
        self.pulse.fire()

    def heal(self, one: str, other: str) -> None:
        """Undo ``cut``."""
        self._cut.discard(frozenset((one, other)))
        self.pulse.fire()

    def reaches(self, one: Machine, other: Machine) -> bool:
        """Whether packets of ``one`` are answered by ``other``."""
        return one.on and other.on and (one is other or self.linked(one.name, other.name))

    def linked(self, one: str, other: str) -> bool:
        """Whether the link between two names is whole."""
        return frozenset((one, other)) not in self._cut

    def owner(self, portal: str) -> Machine | None:
        """The machine whose address is in ``address:port``."""
        address = portal.rpartition(":")[0]
        return next((machine for machine in self.machines.values() if machine.address == address), None)
