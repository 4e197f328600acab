"""One process for each state folder: two agents over one volume group would each trust its own memory."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from csi_driver.errors import InternalError
from csi_driver.kit import blocking

log = logging.getLogger(__name__)


@asynccontextmanager
async def held(folder: Path) -> AsyncIterator[None]:
    """Within this block no other process has ``folder``. The kernel lets go when we end, however we end (flock(2)).

    Waits while another process has it: an older one may still be letting a job end. InternalError when the folder
    cannot be made.
    """
    path = folder / "lock"
    descriptor = _open(path)
    try:
        await _lock(descriptor, path)
        yield
    finally:
        os.close(descriptor)


async def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.warning("waiting for another process to end", extra={"lock": str(path)})
        await blocking.call(lambda: fcntl.flock(descriptor, fcntl.LOCK_EX), "folder lock")


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not inherited: an lvm that outlives us must not keep our successor out.
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise InternalError(f"state_folder {path.parent} cannot be used: {error.strerror}") from error
