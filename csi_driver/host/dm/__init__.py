"""The real door to device-mapper: its ioctls, called from threads (mechanisms.md 3)."""

from __future__ import annotations

from csi_driver.host.dm.kernel import KernelDm

__all__ = ["KernelDm"]
