"""Facts about the host itself."""

from __future__ import annotations

from typing import Protocol


class Hosts(Protocol):
    """Facts about the host itself."""

    def boot_id(self) -> str:
        """Changes with every boot (/proc/sys/kernel/random/boot_id)."""
        ...

    def now(self) -> float:
        """Unix seconds."""
        ...
