"""Waiting for what comes a little later."""

from __future__ import annotations

import time
from collections.abc import Callable

PAUSE = 0.02
"""Seconds between two looks."""


def eventually(true: Callable[[], bool], *, within: float = 20.0) -> None:
    """Return once it says True; raises AssertionError after `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"not so within {within:.0f} s")
        time.sleep(PAUSE)
