"""Filters: each says why a pool cannot hold a volume, or nothing. A file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from csi_driver.scheduler.request import PoolView, Request

Reasons = Sequence[str | None]
"""For each pool, in the order given, why it will not do, with figures; None where it passes. Never empty."""


class Filter(Protocol):
    """One reason to refuse."""

    @property
    def name(self) -> str:
        """Short and stable: for settings and figures."""
        ...

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        """``Reasons``, or None when all pass: what a request does not ask for costs nothing."""
        ...


class PoolFilter:
    """A filter that looks at one pool at a time: the simple way to write one. Made without arguments."""

    name = ""

    def refusal(self, request: Request, view: PoolView) -> str | None:
        """Why this pool will not do, for the user, with figures; None when it passes."""
        raise NotImplementedError

    def reasons(self, request: Request, views: Sequence[PoolView]) -> Reasons | None:
        return [self.refusal(request, view) for view in views]
