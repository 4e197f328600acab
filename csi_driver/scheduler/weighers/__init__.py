"""Weighers: each says how good a pool is, in its own unit; more is better. A file each."""

from __future__ import annotations

from typing import Protocol

from csi_driver.scheduler.request import PoolView, Request


class Weigher(Protocol):
    """One reason to prefer. Weights are brought to 0..1 over the pools in question, multiplied, and summed."""

    @property
    def name(self) -> str:
        """Short and stable: for settings and for ``why``."""
        ...

    @property
    def multiplier(self) -> float:
        """How much it counts beside the others."""
        ...

    def weigh(self, request: Request, view: PoolView) -> float:
        """How good; any unit."""
        ...
