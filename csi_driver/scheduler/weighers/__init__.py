"""Weighers: each says how good a pool is, in its own unit; more is better. A file each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from csi_driver.scheduler.request import PoolView, Request

Column = Sequence[float]
"""A number for each pool, in the order given."""


class Weigher(Protocol):
    """One reason to prefer. Columns are brought to 0..1 over the pools in question, multiplied, and summed."""

    @property
    def name(self) -> str:
        """Short and stable: for settings and for ``why``."""
        ...

    @property
    def multiplier(self) -> float:
        """How much it counts beside the others, unless settings or a class say otherwise; 0: not at all."""
        ...

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        """``Column``, in any unit, infinities too; None when all are alike to it."""
        ...


class PoolWeigher:
    """A weigher that looks at one pool at a time: the simple way to write one. Made without arguments."""

    name = ""
    multiplier = 1.0

    def weigh(self, request: Request, view: PoolView) -> float:
        """How good; any unit."""
        raise NotImplementedError

    def column(self, request: Request, views: Sequence[PoolView]) -> Column | None:
        return [self.weigh(request, view) for view in views]
