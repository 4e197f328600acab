"""What the demo prints: steps, evidence, time taken; and the checks that decide its exit status."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class CheckFailed(Exception):
    """Something that the demo promises did not hold."""


def say(text: str = "") -> None:
    """A line, at once."""
    print(text, flush=True)


def evidence(text: str) -> None:
    """What the kernel or a tool says, indented."""
    for line in text.strip().splitlines():
        say(f"       {line.rstrip()}")


def check(holds: bool, claim: str) -> None:
    """Say the claim; raises CheckFailed when it does not hold."""
    say(f"    {'ok' if holds else 'NOT TRUE'}: {claim}")
    if not holds:
        raise CheckFailed(claim)


class Steps:
    """Numbers the steps and times them."""

    def __init__(self) -> None:
        self._number = 0
        self.began = time.monotonic()

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step; says how long it took."""
        self._number += 1
        say(f"\n[{self._number}] {title}")
        began = time.monotonic()
        yield
        say(f"    ({time.monotonic() - began:.1f} s)")
