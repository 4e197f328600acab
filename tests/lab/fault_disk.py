"""A disk that turns bad and good again while it is in use."""

from __future__ import annotations

from typing import Protocol


class Runner(Protocol):
    """Runs a shell script in the guest and gives what it printed."""

    def __call__(self, script: str) -> str: ...


class FaultDisk:
    """A device-mapper device over a raw disk of a host; what is on it is what is on the disk.

    A switch waits for no I/O that the disk holds up: delayed I/O comes out at once. After a boot of the
    host it is good again.
    """

    def __init__(self, run: Runner, name: str, backing: str) -> None:
        self._run, self.name, self.backing = run, name, backing
        self.sectors = 0

    @property
    def path(self) -> str:
        """The device to use in place of the raw disk."""
        return f"/dev/mapper/{self.name}"

    def create(self) -> None:
        """Make the device, good; called by `Host.fault_disk` and after each boot."""
        self.sectors = int(self._run(f"blockdev --getsz {self.backing}"))
        self._run(f"echo '{self._linear()}' | dmsetup create {self.name}")

    def good(self) -> None:
        """Every request goes to the disk."""
        self._switch(self._linear())

    def error(self) -> None:
        """Every request fails with EIO."""
        self._switch(f"0 {self.sectors} error")

    def delay(self, milliseconds: int, *, writes_only: bool = False) -> None:
        """Every request (or every write) comes back that much later."""
        reads = f"{self.backing} 0 {0 if writes_only else milliseconds}"
        self._switch(f"0 {self.sectors} delay {reads} {self.backing} 0 {milliseconds}")

    def flakey(self, up: int, down: int, *features: str) -> None:
        """Good for `up` seconds, then failing (or as the dm-flakey features say) for `down`, and so on."""
        extra = f" {len(features)} {' '.join(features)}" if features else ""
        self._switch(f"0 {self.sectors} flakey {self.backing} 0 {up} {down}{extra}")

    def drop_writes(self) -> None:
        """Writes are acknowledged and lost, reads work: a disk whose cache loses power later."""
        self.flakey(0, 3600, "drop_writes")

    def _linear(self) -> str:
        return f"0 {self.sectors} linear {self.backing} 0"

    def _switch(self, table: str) -> None:
        """No waiting for udev, no flush, no freeze: nothing here may wait for the disk that is to be changed."""
        self._run(
            f"echo '{table}' | dmsetup load {self.name} && dmsetup suspend --noflush --nolockfs {self.name}"
            f" && dmsetup resume --noudevsync {self.name}"
        )
