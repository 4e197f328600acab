"""Publications that are over, but that a node still holds: it is told so, and ends their I/O (DESIGN 4).

A node that was cut off while it was fenced does not know. Its session can never come back, so without this its
pods would hang until the replacement timeout. It tells of what it holds in its inventory; we ask the storage node's
journal, and only a clear answer from there counts: unknown is not over.
"""

from __future__ import annotations

import asyncio
import logging

from csi_driver.control.context import Context
from csi_driver.control.lookup import find_owner
from csi_driver.errors import DriverError
from csi_driver.fleet.state import NodeState
from csi_driver.model.ids import VolumeId

log = logging.getLogger(__name__)

PAUSE = 5.0
"""Seconds between two looks while something is overdue, or while it could not be found out."""
LIMIT = 20.0
"""Seconds one volume's question and order may take."""


class Overdue:
    """Tells nodes what is over. Several controllers may do so at once."""

    def __init__(self, context: Context, pause: float = PAUSE) -> None:
        self._context, self._pause = context, pause
        self._told = asyncio.Event()
        context.fleet.subscribe(self._listen)

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            self._told.clear()
            suspects = self.suspects()
            await asyncio.gather(*(self._settle(node, volume, number) for node, volume, number in suspects))
            try:
                async with asyncio.timeout(self._pause if suspects else None):
                    await self._told.wait()
            except TimeoutError:
                continue

    def suspects(self) -> list[tuple[str, VolumeId, int]]:
        """Node, volume and number of what is held though our picture shows no such publication."""
        fleet = self._context.fleet
        shown = {(volume, node) for state in fleet.nodes() for volume, node in state.publications}
        return [
            (state.name, volume, number)
            for state in fleet.answering()
            for volume, number in state.held.items()
            if (volume, state.name) not in shown
        ]

    def _listen(self, state: NodeState) -> None:
        if state.held or any(each.held for each in self._context.fleet.nodes()):
            self._told.set()

    async def _settle(self, node: str, volume: VolumeId, number: int) -> None:
        fleet = self._context.fleet
        try:
            async with asyncio.timeout(LIMIT):
                owner = await find_owner(self._context, volume)
                entries = await fleet.agent(owner).publications(volume) if owner else ()
                if any(entry.node == node for entry in entries):
                    return
                await fleet.agent(node).release(volume, number)
            log.info("told what is over", extra={"volume": str(volume), "node": node, "publication": number})
        except (DriverError, TimeoutError) as error:
            log.info("not settled yet", extra={"volume": str(volume), "node": node, "error": str(error)})
