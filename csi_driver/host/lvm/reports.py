"""What was read of volume groups, and for how long it still holds.

A report holds until this process changes something, or grows too old for who asks: others may have changed something.
A change of ours that is known in full does not end it: making a thin volume, changing tags.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from csi_driver.host.doors.lvm import LogicalVolume, VolumeGroup


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a report was asked for: after how many changes of ours, and at which second of the loop's clock."""

    changes: int
    began: float


class Reports:
    """The last report of each volume group. Commands take turns, so a report has seen all changes asked before it."""

    def __init__(self) -> None:
        self._changes = 0
        self._seen: dict[str, tuple[Stamp, VolumeGroup]] = {}
        self._made: dict[tuple[str, str], int] = {}

    def change(self) -> int:
        """A change is asked for; its number."""
        self._changes += 1
        return self._changes

    def stamp(self) -> Stamp:
        """A report is asked for."""
        return Stamp(self._changes, asyncio.get_running_loop().time())

    def keep(self, stamp: Stamp, group: VolumeGroup) -> None:
        """What came of it."""
        self._seen[group.name] = (stamp, group)

    def recall(self, vg: str, within: float) -> VolumeGroup | None:
        """The last report, if it began at most ``within`` seconds ago and holds still."""
        stamp, group = self._seen.get(vg, (None, None))
        now = self.stamp()
        holds = stamp is not None and stamp.changes == now.changes and now.began - stamp.began < within
        return group if holds else None

    def made(self, vg: str, name: str, number: int) -> None:
        """Change ``number`` made a volume; ``know`` will tell which."""
        self._made = {(vg, name): number}

    def know(self, lv: LogicalVolume) -> None:
        """The volume that was made last is this thin one, which takes no extents of the group."""
        number = self._made.pop((lv.vg, lv.name), 0)
        stamp, group = self._seen.get(lv.vg, (None, None))
        if stamp is not None and group is not None and group.volume(lv.name) is None:
            volumes = tuple(sorted((*group.volumes, lv), key=lambda each: each.name))
            self._follow(number, stamp, replace(group, volumes=volumes))

    def tagged(self, vg: str, name: str, number: int, *, add: frozenset[str], remove: frozenset[str]) -> None:
        """Change ``number`` changed the tags of a volume."""
        stamp, group = self._seen.get(vg, (None, None))
        lv = group.volume(name) if group is not None else None
        if stamp is not None and group is not None and lv is not None:
            changed = replace(lv, tags=lv.tags - remove | add)
            self._follow(
                number, stamp, replace(group, volumes=tuple(changed if each is lv else each for each in group.volumes))
            )

    def _follow(self, number: int, stamp: Stamp, group: VolumeGroup) -> None:
        """``group`` is what it was, and change ``number``: if that is the only one since."""
        if stamp.changes == number - 1 and number == self._changes:
            self._seen[group.name] = (Stamp(number, stamp.began), group)
