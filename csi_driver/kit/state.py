"""Small files that must survive a crash: a directory of records, each written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect

_TEMPORARY = ".new"


class Records(Protocol):
    """A durable map from names to bytes. Names are plain file names."""

    async def put(self, name: str, content: bytes) -> None:
        """Store; durable on return."""
        ...

    async def remove(self, name: str) -> None:
        """Forget; durable on return. Forgetting what is not there is fine."""
        ...

    def read(self) -> Mapping[str, bytes]:
        """Everything that is stored. For the start of a process: later, its own memory is as good."""
        ...


class RecordFiles:
    """Records as files of mode 0600 under ``folder`` (0700), written aside, fsync'd and renamed."""

    def __init__(self, folder: Path, effects: Effects) -> None:
        self._folder, self.effects = folder, effects
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @effect("state.put")
    async def put(self, name: str, content: bytes) -> None:
        """See ``Records.put``."""
        await blocking.call(lambda: self._write(name, content), "state")

    @effect("state.remove")
    async def remove(self, name: str) -> None:
        """See ``Records.remove``."""
        await blocking.call(lambda: self._unlink(name), "state")

    def _write(self, name: str, content: bytes) -> None:
        aside = self._folder / (name + _TEMPORARY)
        with open(aside, "wb", opener=_private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(self._folder / name)
        self._sync_folder()

    def _unlink(self, name: str) -> None:
        (self._folder / name).unlink(missing_ok=True)
        self._sync_folder()

    def read(self) -> dict[str, bytes]:
        """See ``Records.read``. What a crash left half written is removed."""
        found: dict[str, bytes] = {}
        for path in sorted(self._folder.iterdir()):
            if path.name.endswith(_TEMPORARY):
                path.unlink()
            else:
                found[path.name] = path.read_bytes()
        return found

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
