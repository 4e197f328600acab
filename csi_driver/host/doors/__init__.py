"""The doors: one interface to each outside thing of a host. Arguments in, typed values out, no policy.

Each has a real implementation in this package and a simulated one in ``csi_driver.testing``; one contract suite
(tests/contract) runs against both. Methods that change the world are effects. Common errors: NotFound and Busy as
each method says, CommandFailed or InternalError for what was not foreseen, StillWorking when a program had to be
given up half way.
"""

from __future__ import annotations

from dataclasses import dataclass

from csi_driver.host.doors.configfs import Configfs
from csi_driver.host.doors.devices import Devices, ScsiDisk, ScsiIdentity
from csi_driver.host.doors.dm import Dm, DmDevice, DmLine
from csi_driver.host.doors.filesystems import Filesystems, Formatter
from csi_driver.host.doors.host import Hosts
from csi_driver.host.doors.initiator import Initiator, NodeRecord, Session
from csi_driver.host.doors.lvm import LogicalVolume, Lvm, PhysicalVolume, VolumeGroup
from csi_driver.host.doors.mounts import Mount, Mounts, Usage
from csi_driver.host.doors.reservations import Reservations, SavedReservations

__all__ = [
    "Configfs",
    "ConsumerDoors",
    "Devices",
    "Dm",
    "DmDevice",
    "DmLine",
    "Filesystems",
    "Formatter",
    "Hosts",
    "Initiator",
    "LogicalVolume",
    "Lvm",
    "Mount",
    "Mounts",
    "NodeRecord",
    "PhysicalVolume",
    "Reservations",
    "SavedReservations",
    "ScsiDisk",
    "ScsiIdentity",
    "Session",
    "StorageDoors",
    "Usage",
    "VolumeGroup",
    "numbers",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageDoors:
    """What the agent is handed: a host's disks and its target."""

    lvm: Lvm
    dm: Dm
    devices: Devices
    configfs: Configfs
    reservations: Reservations
    formatter: Formatter
    host: Hosts


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerDoors:
    """What the node plugin is handed. There is no formatter here."""

    dm: Dm
    devices: Devices
    initiator: Initiator
    filesystems: Filesystems
    mounts: Mounts
    host: Hosts


def numbers(devno: tuple[int, int]) -> str:
    """``major:minor``, as dm tables and sysfs spell a device."""
    return f"{devno[0]}:{devno[1]}"
