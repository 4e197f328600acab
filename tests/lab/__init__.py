"""Real test hosts as ordinary processes: see README.md beside this file."""

from tests.lab.errors import (
    BootFailed,
    BuildFailed,
    CommandFailed,
    GuestError,
    GuestTimeout,
    HostDown,
    LabError,
    MissingPrerequisite,
)
from tests.lab.fault_disk import FaultDisk
from tests.lab.host import Completed, Host
from tests.lab.lab import Lab
from tests.lab.process import GuestProcess
from tests.lab.spec import GATEWAY, GIB, MIB, DiskSpec, HostSpec, ImageSpec
from tests.lab.tools import install_prerequisites

__all__ = [
    "GATEWAY",
    "GIB",
    "MIB",
    "BootFailed",
    "BuildFailed",
    "CommandFailed",
    "Completed",
    "DiskSpec",
    "FaultDisk",
    "GuestError",
    "GuestProcess",
    "GuestTimeout",
    "Host",
    "HostDown",
    "HostSpec",
    "ImageSpec",
    "Lab",
    "LabError",
    "MissingPrerequisite",
    "install_prerequisites",
]
