"""The folder of open-iscsi's node records.

Records are written as files, whole and at once, and not by ``iscsiadm -o update``: that starts a process for each
setting and shows the CHAP secret to everyone in its arguments (failures.md T8). iscsiadm and iscsid read a record
anew each time they need it; both take ``nodes/<iqn>/<address>,<port>``, what ``-o new`` makes, and
``nodes/<iqn>/<address>,<port>,<tpgt>/<interface>``, what discovery makes. We write the first.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from csi_driver.errors import InvalidRequest
from csi_driver.host.iscsi import portals
from csi_driver.model.ids import IQN_PREFIX

FOLDERS = ("var/lib/iscsi", "etc/iscsi")
"""Where builds of open-iscsi keep their database; which one it is, its iscsiadm shows by writing there."""


class RecordFolder:
    """The database below ``root``. Its methods block, for an fsync at most."""

    def __init__(self, root: Path) -> None:
        self._places = tuple(root / folder for folder in FOLDERS)

    def find(self, iqn: str, portal: str) -> Path | None:
        """The file of a record, or None."""
        name = _name(portal)
        return next((path for place in self._places if (path := _target(place, iqn) / name).is_file()), None)

    def beside(self, known: Path, iqn: str, portal: str) -> Path:
        """Where the record of another target belongs in the database that holds the file ``known``."""
        return _target(known.parents[2], iqn) / _name(portal)

    def write(self, path: Path, text: str) -> None:
        """The record, 0600, old or new for whoever reads; durable on return."""
        database = path.parents[2]
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not below nodes/: everything there is a record to iscsiadm.
        aside = _aside(database, path.parent.name, path.name)
        with open(aside, "w", opener=_private) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        aside.rename(path)
        _remove_folders(path)

    def forget(self, iqn: str, portal: str) -> None:
        """No record of the target by this portal is left."""
        for place in self._places:
            path = _target(place, iqn) / _name(portal)
            path.unlink(missing_ok=True)
            _remove_folders(path)

    def remove(self, iqn: str) -> None:
        """No record of the target is left, nor what a crash left of writing one."""
        for place in self._places:
            for left in place.glob(f".{_checked(iqn)},*.new"):
                left.unlink(missing_ok=True)
            for link in (place / "static").glob(f"{iqn},*"):
                link.unlink(missing_ok=True)
            folder = _target(place, iqn)
            if folder.is_dir():
                shutil.rmtree(folder)

    def records(self) -> tuple[tuple[str, str], ...]:
        """(iqn, portal) of each record that names a target of ours."""
        return tuple(sorted(set(self._records())))

    def _records(self) -> Iterator[tuple[str, str]]:
        for place in self._places:
            for folder in (place / "nodes").glob(f"{IQN_PREFIX}*"):
                for entry in folder.iterdir():
                    address, _, rest = entry.name.partition(",")
                    yield folder.name, portals.join(address, rest.partition(",")[0])


def _remove_folders(path: Path) -> None:
    """What discovery made of the same portal: a second record, by which iscsiadm would log in a second time."""
    for folder in path.parent.glob(f"{path.name},*"):
        shutil.rmtree(folder)


def _target(place: Path, iqn: str) -> Path:
    return place / "nodes" / _checked(iqn)


def _aside(database: Path, iqn: str, name: str) -> Path:
    return database / f".{iqn},{name}.new"


def _name(portal: str) -> str:
    address, port = portals.split(portal)
    return f"{address},{port}"


def _checked(iqn: str) -> str:
    """Part of a path that is removed with all below it: one of ours, and nothing that leads elsewhere."""
    if not iqn.startswith(IQN_PREFIX) or not set(iqn.removeprefix(IQN_PREFIX)) <= _SAFE:
        raise InvalidRequest(f"{iqn!r} is not the name of a target of this driver")
    return iqn


_SAFE = set("abcdefghijklmnopqrstuvwxyz0123456789-")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
