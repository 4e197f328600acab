"""The pools that this node offers: those of its settings file, until a controller has said which; then those, from
its own disk, whether or not a controller is there.

Intent may change at any time and removes nothing. So a volume group in which this agent has once found its place is
looked at ever after: a volume of a pool that is offered no more stays what it is. And a group that was here and
cannot be read is not empty.
"""

from __future__ import annotations

import json
import logging

from csi_driver.kit.state import Records
from csi_driver.settings import EVERYWHERE, PoolSettings, read_pools, show_pools

log = logging.getLogger(__name__)

CHOSEN, GROUPS = "pools.json", "groups.json"


class Offer:
    """``given`` are the settings file's pools. Raises InvalidRequest when what is on disk cannot be read."""

    def __init__(self, records: Records, given: tuple[PoolSettings, ...]) -> None:
        self._records = records
        stored = records.read()
        self._chosen = stored.get(CHOSEN)
        self.pools = given if self._chosen is None else read_pools(self._chosen.decode(), CHOSEN)
        self._found = frozenset[str](json.loads(stored.get(GROUPS, b'{"found": []}'))["found"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The volume groups to look at, each once: those of the pools, and those that were found before."""
        return tuple(dict.fromkeys([*(pool.vg for pool in self.pools), *sorted(self._found)]))

    def in_group(self, vg: str) -> tuple[PoolSettings, ...]:
        """The pools of a volume group."""
        return tuple(pool for pool in self.pools if pool.vg == vg)

    def was_found(self, vg: str) -> bool:
        """Whether the group is a pool's and was here before: then its absence is a failure."""
        return vg in self._found and bool(self.in_group(vg))

    def expected(self, pool: PoolSettings) -> bool:
        """Whether it is worth telling that the pool's volume group is not here."""
        return pool.nodes != EVERYWHERE or pool.vg in self._found

    async def found(self, vg: str) -> None:
        """The group of a pool is here; durable on return."""
        if vg not in self._found:
            await self._remember(self._found | {vg})

    async def lost(self, vg: str) -> None:
        """The group is no pool's any more, and is not here or holds nothing of ours: it need not be looked at."""
        if vg in self._found:
            await self._remember(self._found - {vg})

    async def _remember(self, found: frozenset[str]) -> None:
        await self._records.put(GROUPS, json.dumps({"found": sorted(found)}).encode())
        self._found = found

    async def choose(self, pools: tuple[PoolSettings, ...]) -> bool:
        """These are the pools now; durable on return. Whether that is another choice than before."""
        document = show_pools(pools).encode()
        if document == self._chosen:
            return False
        await self._records.put(CHOSEN, document)
        self._chosen, self.pools = document, pools
        log.info("pools chosen", extra={"pools": [pool.name for pool in pools]})
        return True
