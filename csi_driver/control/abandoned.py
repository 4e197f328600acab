"""Names with several volumes: reported, never mended by ourselves (decision 0002).

A node that was silent while a name was settled may bring back a copy of its own. Kubernetes knows of one id at most,
by its PV; we cannot tell which, so all are named, and an operator deletes what no PV names.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from csi_driver.control.context import Context
from csi_driver.fleet.fleet import Fleet
from csi_driver.fleet.state import NodeState
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Volume

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two looks, at least: each goes through all volumes."""


class Abandoned:
    """Looks at the picture whenever it changed, and says once of each set of copies that it is there."""

    def __init__(self, context: Context, pause: float = PAUSE) -> None:
        self._fleet, self._pause = context.fleet, pause
        self._changed = asyncio.Event()
        self._told: frozenset[frozenset[VolumeId]] = frozenset()
        context.fleet.subscribe(self._listen)

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self.tell()
            await asyncio.sleep(self._pause)

    def tell(self) -> None:
        """Log what was not logged before, or was gone meanwhile."""
        found = {frozenset(volume.id for volume in each): each for each in copies(self._fleet)}
        for ids, volumes in found.items():
            if ids not in self._told:
                log.warning(
                    "a name has several volumes; those that no PV names are abandoned and may be deleted",
                    extra={
                        "volume_name": volumes[0].name,
                        "volumes": [f"{each.id} on {each.node}" for each in volumes],
                        "published": [str(each.id) for each in volumes if self._is_published(each)],
                    },
                )
        self._told = frozenset(found)

    def _is_published(self, volume: Volume) -> bool:
        return bool(self._fleet.node(volume.node).consumers(volume.id))

    def _listen(self, _: NodeState) -> None:
        self._changed.set()


def copies(fleet: Fleet) -> tuple[tuple[Volume, ...], ...]:
    """The finished volumes of each name that has more than one, by id; of silent nodes too, as last heard."""
    by_key: defaultdict[str, list[Volume]] = defaultdict(list)
    for state in fleet.nodes():
        for volume in state.volumes.values():
            if volume.content is not Content.CLAIMED:
                by_key[volume.id.key].append(volume)
    return tuple(
        tuple(sorted(each, key=lambda volume: volume.id)) for _, each in sorted(by_key.items()) if len(each) > 1
    )
