"""Filters: each says why a pool cannot hold a volume, or nothing. A file each."""

from __future__ import annotations

from typing import Protocol

from csi_driver.scheduler.request import PoolView, Request


class Filter(Protocol):
    """One reason to refuse."""

    @property
    def name(self) -> str:
        """Short and stable: for settings and figures."""
        ...

    def refusal(self, request: Request, view: PoolView) -> str | None:
        """Why this pool will not do, for the user, with figures; None when it passes."""
        ...
