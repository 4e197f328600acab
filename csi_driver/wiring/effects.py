"""The effect layer of a process."""

from __future__ import annotations

from csi_driver.kit.effects import Effects
from csi_driver.settings import Settings


def effects(settings: Settings) -> Effects:
    """The plain one; with a fault plan, for tests alone, one that kills the process where the plan says."""
    if not settings.fault_plan:
        return Effects()
    from csi_driver.testing.faults import KillProcess

    return KillProcess(settings.fault_plan)
