"""What can go wrong in the lab; every message says where to look or what to install."""

from __future__ import annotations


class LabError(Exception):
    """Anything the lab could not do."""


class MissingPrerequisite(LabError):
    """Something the machine needs and does not have; the message names the package."""


class BuildFailed(LabError):
    """The kernel or the root file system could not be built."""


class BootFailed(LabError):
    """A host did not come up; the message ends with its console's last lines."""


class HostDown(LabError):
    """The host is not running, or its agent does not answer."""


class GuestTimeout(LabError):
    """Something in a guest took longer than its limit and was killed there."""


class GuestError(LabError):
    """The guest's agent refused or failed an operation (a missing file, a bad path)."""


class CommandFailed(LabError):
    """A command in a guest ended with another code than 0; carries what it printed."""

    def __init__(self, host: str, argv: list[str], rc: int, stdout: str, stderr: str) -> None:
        self.host, self.argv, self.rc = host, argv, rc
        self.stdout, self.stderr = stdout, stderr
        printed = "\n".join(part for part in (stdout.strip(), stderr.strip()) if part)
        super().__init__(f"{host}: {' '.join(argv)!r} ended with {rc}\n{printed}")
