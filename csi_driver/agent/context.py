"""What every verb of the agent is handed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

from csi_driver.agent import tags
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.errors import NotFound, Precondition, Unavailable
from csi_driver.host.doors import DmDevice, LogicalVolume, StorageDoors, VolumeGroup
from csi_driver.kit.jobs import Jobs
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Volume
from csi_driver.settings import AgentSettings, PoolSettings

RECENT = 1.0
"""Seconds that a look at a volume group is good for, where all that counts is what this agent itself does there.
Whatever this agent changes ends it at once, or is part of it."""
KNOWN = 30.0
"""The same where the command that follows judges once more: the verbs of a CreateVolume then need no look of their own.

An operator's change may go unseen for as long, as it does between two refreshes. Nothing wrong comes of it: lvcreate
refuses a name that is taken and a size that does not fit, lvchange a volume that is gone. What is found is looked at
anew before it is answered, unless it is a claim that this process has made. Only the soft limits (metadata, how full
a pool is) are judged by what was seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentContext:
    """One storage node: its doors, its settings, its memory. ``locks`` holds a lock per volume group: looking at
    room and taking it are one step. ``made`` is what a commit needs not do again. ``refers`` asks the consumer's half
    of this node whether something there may still lead to a device of ours that nobody has open (``node.look``).
    """

    node: str
    cluster: str
    doors: StorageDoors
    settings: AgentSettings
    offer: Offer
    journal: Journal
    picture: Picture
    refers: Callable[[DmDevice], Awaitable[bool]]
    jobs: Jobs = field(default_factory=Jobs)
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    made: dict[VolumeId, Made] = field(default_factory=dict)

    def pool(self, name: str) -> PoolSettings:
        """The settings of the pool ``name``. NotFound names those that there are."""
        for pool in self.offer.pools:
            if pool.name == name:
                return pool
        known = ", ".join(pool.name for pool in self.offer.pools) or "none"
        raise NotFound(f"node {self.node} has no pool {name!r}; it has {known}")

    async def read_groups(self, *, within: float = 0.0) -> AsyncGenerator[VolumeGroup, None]:
        """Every volume group of ours that is here. ``within`` as ``Lvm.group`` has it.

        Raises Unavailable for one that was here before and is not now: what it holds is unknown, and not absent.
        """
        for vg in self.offer.groups:
            try:
                yield await self.doors.lvm.group(vg, within=within)
            except NotFound as error:
                if self.offer.was_found(vg):
                    raise Unavailable(f"volume group {vg} of node {self.node} is not there now: {error}") from error

    async def look(self, volume: VolumeId, *, within: float = 0.0) -> Found | None:
        """The logical volume of that id, read from LVM now, or None when no group of ours has it.

        Raises as ``read_groups``, and Precondition when there is one that is not proven to be ours.
        """
        async with aclosing(self.read_groups(within=within)) as groups:
            async for group in groups:
                lv = group.volume(str(volume))
                if lv is not None:
                    return self.prove(group, lv)
        self.made.pop(volume, None)
        return None

    def prove(self, group: VolumeGroup, lv: LogicalVolume) -> Found:
        """``lv`` with the volume that its tags say it is; Precondition when they do not say so."""
        described = tags.volume(lv, node=self.node, cluster=self.cluster)
        if described is None:
            raise Precondition(
                f"logical volume {group.name}/{lv.name} on node {self.node} has the name of a volume of ours but "
                f"not its tags (cluster {self.cluster!r}): it is left alone"
            )
        return Found(group, lv, described)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A claim with everything done that comes before its commit, by this process, and not yet in its tags.

    Commit writes the tags together with its own. If we die before, they are not there, and it is all done again.
    ``uuid`` is the logical volume's: another one of that name is not made.
    """

    uuid: str
    volume: Volume
    add: frozenset[str]
    remove: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """A volume of ours, as LVM has it now."""

    group: VolumeGroup
    lv: LogicalVolume
    volume: Volume
