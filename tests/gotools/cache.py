"""The folder where toolchains and built programs stay between runs, and its locks."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_dir() -> Path:
    """CLINKER_CACHE, or .cache/clinker in the home folder."""
    chosen = os.environ.get("CLINKER_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "clinker"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds off other processes that make the same `path`; its parent folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f"{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
