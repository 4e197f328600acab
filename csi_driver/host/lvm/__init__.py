"""The real door to LVM: one long-lived ``lvm`` shell with a configuration of our own (kernel.md 8)."""

from __future__ import annotations

from csi_driver.host.lvm.shell import LvmShell

__all__ = ["LvmShell"]
