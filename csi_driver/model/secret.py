"""A value that must not be seen."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

TARGET_USER = "clinker-target"
"""The name that a target proves itself under, where it is asked to (mutual CHAP)."""


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """A password. Its text appears only where ``reveal`` is called; ``repr`` and ``str`` are harmless."""

    value: str

    def reveal(self) -> str:
        """The text itself, for the two files and the wire that may hold it."""
        return self.value

    def answer(self) -> Secret:
        """What the target proves itself with, where a consumer asks for that (mutual CHAP): derived from this one, so
        that both ends have it when they have this, and different, as RFC 7143 demands. 32 characters.
        """
        return Secret(hmac.new(self.value.encode(), b"clinker target", hashlib.sha256).hexdigest()[:32])

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__


def draw_secret() -> Secret:
    """A fresh CHAP secret: 16 bytes as hex, 32 characters (RFC 7143 wants at least 96 random bits)."""
    return Secret(secrets.token_hex(16))
