"""A value that must not be seen."""

from __future__ import annotations

import secrets
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password. Its text appears only where ``reveal`` is called; ``repr`` and ``str`` are harmless."""

    value: str

    def reveal(self) -> str:
        """The text itself, for the two files and the wire that may hold it."""
        return self.value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def draw_secret() -> Secret:
    """A fresh CHAP secret: 16 bytes as hex, 32 characters (RFC 7143 wants at least 96 random bits)."""
    return Secret(secrets.token_hex(16))
