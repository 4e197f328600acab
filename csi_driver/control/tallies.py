"""How many volumes each pool of a node holds, and how large they are together: counted once for each picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from csi_driver.fleet.state import NodeState

Tally = Mapping[str, tuple[int, int]]
"""Number and bytes of volumes, by pool."""


class Tallies:
    """Remembers the last count of each node; a picture that did not change is not counted again."""

    def __init__(self) -> None:
        self._counted: dict[str, tuple[NodeState, Tally]] = {}

    def of(self, state: NodeState) -> Tally:
        """The node's pools that hold something, claims included."""
        known = self._counted.get(state.name)
        if known is not None and known[0] is state:
            return known[1]
        counts: defaultdict[str, int] = defaultdict(int)
        sizes: defaultdict[str, int] = defaultdict(int)
        for volume in state.volumes.values():
            counts[volume.pool] += 1
            sizes[volume.pool] += volume.size
        tally = {pool: (counts[pool], sizes[pool]) for pool in counts}
        self._counted[state.name] = (state, tally)
        return tally
