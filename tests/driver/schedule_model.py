"""What the callers of a random schedule know for certain, and what must hold because of it.

A caller that got no answer, or one that is not final, knows nothing; what it does know must be true at every moment,
on disks that are read behind the driver's back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_driver.model.access import AccessType, Capability
from csi_driver.testing.groups import Group, Lv
from tests.driver import schedule_view
from tests.driver.world import World

MARK = 8
"""Bytes of each thing that is written."""
FIRST_FILE = 1 << 20
"""Where the first file of a simulated file system lies."""


class Violation(AssertionError):
    """The driver broke a promise."""


@dataclass
class Grant:
    """What is known of a volume's publication to one node: it stands, it does not, or neither is known."""

    stands: bool = False
    ended: bool = True
    publishing: int = 0
    """Calls of ControllerPublish that run."""
    unpublishing: int = 0
    """Likewise of ControllerUnpublish."""
    publishes: int = 0
    """Calls that ever began; likewise the other."""
    unpublishes: int = 0


@dataclass
class Known:
    """One volume that a create was answered with."""

    id: str
    name: str
    capability: Capability
    size: int
    deleted: bool = False
    doubtful: int = 0
    """Deletes that run, or whose end nobody knows: it may be gone."""
    accepted: set[bytes] = field(default_factory=set)
    """What may be on the disk."""
    ever: set[bytes] = field(default_factory=set)
    """What may ever have been there."""
    grants: defaultdict[str, Grant] = field(default_factory=lambda: defaultdict(Grant))
    contexts: dict[str, list[dict[str, str]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def certain(self) -> bool:
        """Whether it has to be there."""
        return not self.deleted and not self.doubtful

    @property
    def offset(self) -> int:
        """Where on the volume the application's bytes lie."""
        return 0 if self.capability.access is AccessType.BLOCK else FIRST_FILE

    @property
    def shut(self) -> bool:
        """Whether no node can reach it."""
        return all(grant.ended for grant in self.grants.values())


class Model:
    """Everything known. Each method is told of one event, in the order of events."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.known: dict[str, Known] = {}

    # -- volumes

    def created(
        self, name: str, volume: str, capability: Capability, size: int, *, before: set[str], sure: bool
    ) -> None:
        """A create was answered. ``before``: volumes that were deleted when it began; ``sure``: all nodes answered."""
        if volume in before:
            raise Violation(f"create of {name} gave {volume}, which was deleted before")
        twins = [each.id for each in self.known.values() if each.name == name and each.certain and each.id != volume]
        if twins and sure:
            raise Violation(f"create of {name} gave {volume}, and {twins} stands")
        if volume not in self.known:
            self.known[volume] = Known(volume, name, capability, size)
            self.known[volume].accepted = {self.raw(self.known[volume])}
            self.known[volume].ever = set(self.known[volume].accepted)

    def delete_begins(self, volume: str) -> None:
        """From now on it may be gone."""
        self.known[volume].doubtful += 1

    def deleted(self, volume: str) -> None:
        """It is gone, for ever."""
        known = self.known[volume]
        standing = [node for node, grant in known.grants.items() if grant.stands]
        if standing and known.certain:
            raise Violation(f"{volume} was deleted while published to {standing}")
        known.deleted = True
        if volume in schedule_view.volumes(self._world):
            raise Violation(f"{volume} was deleted and is on a disk")

    def delete_refused(self, volume: str) -> None:
        """A final error: nothing was done."""
        self.known[volume].doubtful -= 1

    def grew(self, volume: str, size: int) -> None:
        """An expand was answered with this size."""
        self.known[volume].size = max(self.known[volume].size, size)

    # -- publications

    def publish_begins(self, volume: str, node: str) -> int:
        """A number to end it with; one that never fits when an unpublish runs, which may come before or after."""
        grant = self.known[volume].grants[node]
        grant.ended = False
        grant.publishing += 1
        grant.publishes += 1
        return -1 if grant.unpublishing else grant.unpublishes

    def publish_ends(self, volume: str, node: str, began: int, context: dict[str, str] | None) -> None:
        """``context`` None: it was not answered with success."""
        known = self.known[volume]
        grant = known.grants[node]
        grant.publishing -= 1
        if context is None:
            return
        known.contexts[node].append(context)
        if grant.unpublishes != began or known.doubtful:
            return
        grant.stands = True
        others = [other for other, each in known.grants.items() if each.stands and other != node]
        if others and not known.capability.mode.many_nodes:
            raise Violation(f"{volume} was published to {node} while it is to {others}")

    def unpublish_begins(self, volume: str, nodes: tuple[str, ...]) -> dict[str, int]:
        """A number for each node to end it with; one that never fits where a publish runs."""
        for node in nodes:
            grant = self.known[volume].grants[node]
            grant.stands = False
            grant.unpublishing += 1
            grant.unpublishes += 1
        grants = {node: self.known[volume].grants[node] for node in nodes}
        return {node: -1 if grant.publishing else grant.publishes for node, grant in grants.items()}

    def unpublish_ends(self, volume: str, began: dict[str, int]) -> None:
        """Whatever it was answered with."""
        for node in began:
            self.known[volume].grants[node].unpublishing -= 1

    def unpublished(self, volume: str, began: dict[str, int]) -> None:
        """It was answered with success: who is shut out writes nothing more."""
        known = self.known[volume]
        for node, publishes in began.items():
            grant = known.grants[node]
            grant.ended = grant.publishes == publishes and not grant.publishing
        if known.shut and known.certain:
            known.accepted = {self.raw(known)}

    # -- data

    def may_write(self, volume: str, node: str) -> bool:
        """Whether what a pod on that node writes now may arrive."""
        return not self.known[volume].grants[node].ended

    def raw(self, known: Known) -> bytes:
        """What lies on the disk."""
        _, group, lv = schedule_view.volumes(self._world)[known.id]
        return schedule_view.peek(group, lv, known.offset, MARK)

    def check(self) -> None:
        """Everything that is known holds. Raises Violation."""
        if self._world.network.violations:
            raise Violation(f"two writers: {self._world.network.violations}")
        there = schedule_view.volumes(self._world)
        for known in self.known.values():
            if known.deleted and known.id in there:
                raise Violation(f"{known.id} was deleted and is on a disk again")
            if known.certain:
                self._check_there(known, there)

    def _check_there(self, known: Known, there: Mapping[str, tuple[str, Group, Lv]]) -> None:
        if known.id not in there:
            raise Violation(f"{known.id} is lost")
        _, group, lv = there[known.id]
        if lv.size < known.size:
            raise Violation(f"{known.id} has {lv.size} bytes, {known.size} were answered")
        if "clinker.content=ready" not in lv.tags:
            raise Violation(f"{known.id} was answered and is not committed")
        for node, grant in known.grants.items():
            self._check_entered(known, node, grant)
        raw = schedule_view.peek(group, lv, known.offset, MARK)
        if raw not in known.accepted:
            raise Violation(f"{known.id} holds {raw!r}; only {sorted(known.accepted)} may be there")

    def _check_entered(self, known: Known, node: str, grant: Grant) -> None:
        """A publication that was answered is on the disk of the storage node: nobody forgets it in a crash."""
        owner = schedule_view.volumes(self._world)[known.id][0]
        journal = self._world[owner].host.machine.disks.records.get("journal", {})
        if grant.stands and f"{known.id}.{node.encode().hex()}" not in journal:
            raise Violation(f"{known.id} was published to {node}, and the journal of {owner} does not know")
