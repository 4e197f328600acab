"""What is built once and kept: `$CLINKER_CACHE`, else `~/.cache/clinker`.

An entry is a folder named after a hash of everything it depends on. It is built under another
name and renamed when whole, so that an entry which exists is complete.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

KEPT_DAYS = 7
"""Days without use after which an entry of the same kind is removed by the next build."""

Builder = Callable[[Path, Path], None]
"""Fills the first folder; the second is the name that folder will have in the end."""


def root() -> Path:
    """The cache's folder, made when missing."""
    chosen = os.environ.get("CLINKER_CACHE")
    folder = Path(chosen) if chosen else Path.home() / ".cache" / "clinker"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(*parts: str) -> str:
    """16 hex digits that stand for the parts, in their order."""
    whole = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        whole.update(f"{len(encoded)}:".encode() + encoded)
    return whole.hexdigest()[:16]


def entry(kind: str, depends_on: tuple[str, ...], build: Builder) -> Path:
    """The entry's folder, built by `build` when missing; raises what `build` raises."""
    final = root() / f"{kind}-{digest(*depends_on)}"
    if not final.exists():
        with _locked(kind):
            if not final.exists():
                _build(kind, final, build)
    os.utime(final)
    return final


def _build(kind: str, final: Path, build: Builder) -> None:
    partial = root() / f".{kind}.partial"  # one at a time, by the lock: a rest is a dead build's
    _remove(partial)
    _prune(kind)
    partial.mkdir()
    print(f"lab: building {final.name} ...", flush=True)
    started = time.monotonic()
    try:
        build(partial, final)
        partial.rename(final)
    finally:
        _remove(partial)
    print(f"lab: built {final.name} in {time.monotonic() - started:.1f} s", flush=True)


@contextlib.contextmanager
def _locked(kind: str) -> Iterator[None]:
    with (root() / f".{kind}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _prune(kind: str) -> None:
    oldest = time.time() - KEPT_DAYS * 86400
    for old in root().glob(f"{kind}-*"):
        if old.stat().st_mtime < oldest:
            _remove(old)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
