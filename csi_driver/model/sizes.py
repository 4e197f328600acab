"""Sizes are whole bytes everywhere; this module rounds and shows them."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
SECTOR = 512

DEFAULT_VOLUME_SIZE = GIB
MINIMUM_VOLUME_SIZE = 16 * MIB
"""Below this mkfs.xfs (300 MiB, see ``model.volume``) and ext4's journal make no sense."""


def round_up(size: int, unit: int) -> int:
    """The smallest multiple of ``unit`` bytes that is not below ``size`` bytes."""
    return -(-size // unit) * unit


def show(size: int) -> str:
    """A size for people: ``1.5 GiB``; exact bytes when no unit divides it to two digits."""
    for unit, name in ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit:
            return f"{size / unit:.2f}".rstrip("0").rstrip(".") + f" {name}"
    return f"{size} bytes"
