"""Simulated small files: they outlive the process and the boot, not a new installation of the host."""

from __future__ import annotations

from csi_driver.kit.effects import Effects, effect


class SimRecords:
    """A ``kit.state.Records`` over a dict that stands for a directory on the host's disk."""

    def __init__(self, disk: dict[str, bytes] | None = None, effects: Effects | None = None) -> None:
        self._disk = {} if disk is None else disk
        self.effects = effects or Effects()

    @effect("state.put")
    async def put(self, name: str, content: bytes) -> None:
        """See ``Records.put``."""
        self._disk[name] = content

    @effect("state.remove")
    async def remove(self, name: str) -> None:
        """See ``Records.remove``."""
        self._disk.pop(name, None)

    def read(self) -> dict[str, bytes]:
        """See ``Records.read``."""
        return dict(sorted(self._disk.items()))
