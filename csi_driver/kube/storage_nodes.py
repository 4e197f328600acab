"""Keeps one StorageNode object for each node: for people, and as the durable list of known nodes (DESIGN 2).

Runs in the one controller that holds the lease. An object is made only for a node whose agent answers; none is ever
removed here: that is how an operator says that a node is gone for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from csi_driver.errors import DriverError
from csi_driver.fleet.fleet import Fleet
from csi_driver.fleet.state import NodeState
from csi_driver.kube import storage_node
from csi_driver.kube.api import Api, Conflict, Json
from csi_driver.kube.informer import Informer
from csi_driver.kube.storage_node import StorageNode

log = logging.getLogger(__name__)

PERIOD = 5.0
"""Seconds between two looks: what changes within them costs one request a node."""


class StorageNodes:
    """Writes what differs from ``stored``, which follows the API server."""

    def __init__(
        self,
        api: Api,
        fleet: Fleet,
        stored: Informer[StorageNode],
        *,
        further: Callable[[str], Sequence[Json]] = lambda _: (),
        period: float = PERIOD,
    ) -> None:
        """``further``: more conditions of a node, by its name."""
        self._further = further
        self._api, self._fleet, self._stored, self._period = api, fleet, stored, period

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            for state in self._fleet.nodes() if self._stored.synced else ():
                try:
                    await self._write(state, self._stored.objects)
                except Conflict:
                    continue  # it is there, and will be seen
                except DriverError as error:
                    log.warning("StorageNode not written", extra={"node": state.name, "error": str(error)})
            await asyncio.sleep(self._period)

    async def _write(self, state: NodeState, stored: Mapping[str, StorageNode]) -> None:
        there = stored.get(state.name)
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        wanted = storage_node.status(state, there, now=now, further=self._further(state.name))
        if there is None:
            if not state.answering:
                return
            await self._api.post(storage_node.PATH, storage_node.new(state.name))
            log.info("StorageNode made", extra={"node": state.name})
        elif there.status == wanted:
            return
        await self._api.set(f"{storage_node.PATH}/{state.name}/status", "status", wanted)
