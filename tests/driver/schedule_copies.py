"""Snapshots, restores and clones in a random schedule: drawn, called once, and what is answered must hold for ever."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from csi_driver.agent import tags
from csi_driver.control.requests import CreateSnapshot, CreateVolume, DeleteSnapshot, ListSnapshots
from csi_driver.control.service import Controller
from csi_driver.errors import DriverError, InternalError, NotFound
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import volume_key
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Limits
from tests.driver import schedule_view
from tests.driver.schedule_model import MARK, Known, Model, Violation
from tests.driver.world import World

SNAPSHOTS = ("snap-0", "snap-1", "snap-2")
COPIES = ("copy-0", "copy-1")
STEP = 64 * MIB


@dataclass
class Cut:
    """One snapshot that a create was answered with."""

    id: str
    source: str
    size: int
    capability: Capability
    offset: int
    raw: bytes
    """What it holds, where the application's bytes lie."""
    deleted: bool = False
    doubtful: int = 0

    @property
    def certain(self) -> bool:
        """Whether it has to be there."""
        return not self.deleted and not self.doubtful


class Ends(Protocol):
    """The schedule's way of going on until a verb succeeds."""

    async def __call__(self, what: str, verb: Callable[[], Awaitable[object]]) -> object: ...


class CopyCalls:
    """Draws them, and keeps what is known of snapshots; what is made from them is known to the model as any volume."""

    def __init__(self, world: World, model: Model, dice: random.Random) -> None:
        self.world, self.model, self.dice = world, model, dice
        self.cuts: dict[str, Cut] = {}

    def draw(self, volume: Known) -> tuple[str, Callable[[Controller], Awaitable[None]]]:
        """The next one; ``volume`` is one that may be there."""
        alive = [cut for cut in self.cuts.values() if not cut.deleted]
        dice = self.dice.random()
        if dice < 0.4 or not alive:
            name = self.dice.choice(SNAPSHOTS)
            return f"snapshot {name} of {volume.id}", partial(self._snapshot, name, volume)
        cut, name = self.dice.choice(alive), self.dice.choice(COPIES)
        if dice < 0.6:
            return f"restore {name} of {cut.id}", partial(self._restore, name, cut)
        if dice < 0.75:
            return f"clone {name} of {volume.id}", partial(self._clone, name, volume)
        if dice < 0.95:
            return f"delete {cut.id}", partial(self._delete, cut)
        return "list snapshots", self._list

    async def _snapshot(self, name: str, volume: Known, controller: Controller) -> None:
        gone = {cut.id for cut in self.cuts.values() if cut.deleted}
        made = await controller.create_snapshot(CreateSnapshot(name=name, source=volume.id))
        if made.id in gone:
            raise Violation(f"{name} gave {made.id}, which was deleted before")
        if made.source != volume.id:
            raise Violation(f"{name} gave {made.id} of {made.source}, {volume.id} was asked for")
        if made.id not in self.cuts:
            raw = self._raw(made.id, volume.offset)
            if raw not in volume.ever:
                raise Violation(f"{made.id} holds {raw!r}, which {volume.id} never did: {sorted(volume.ever)}")
            self.cuts[made.id] = Cut(made.id, volume.id, made.size, volume.capability, volume.offset, raw)

    async def _restore(self, name: str, cut: Cut, controller: Controller) -> None:
        size = cut.size + STEP * self.dice.randint(0, 1)
        made = await self._create(name, cut.id, size, cut.capability, controller)
        if made is not None and made.ever != {cut.raw}:
            raise Violation(f"{made.id} holds {made.ever}, its source {cut.id} {cut.raw!r}")

    async def _clone(self, name: str, volume: Known, controller: Controller) -> None:
        made = await self._create(name, volume.id, volume.size, volume.capability, controller)
        if made is not None and not made.ever <= volume.ever:
            raise Violation(f"{made.id} holds {made.ever}, its source {volume.id} never did: {sorted(volume.ever)}")

    async def _create(
        self, name: str, source: str, size: int, capability: Capability, controller: Controller
    ) -> Known | None:
        """The volume when nobody knew of it before."""
        gone = {each.id for each in self.model.known.values() if each.deleted}
        order = CreateVolume(name=name, capabilities=(capability,), limits=Limits(required=size), source=source)
        made = await controller.create_volume(order)
        if str(made.source) != source:
            raise Violation(f"{name} was made from {made.source}, {source} was asked for")
        new = made.id not in self.model.known
        self.model.created(name, made.id, capability, size, before=gone, sure=False)
        return self.model.known[made.id] if new else None

    async def _delete(self, cut: Cut, controller: Controller) -> None:
        cut.doubtful += 1
        try:
            await controller.delete_snapshot(DeleteSnapshot(id=cut.id))
        except DriverError as error:
            if error.final and not isinstance(error, InternalError):
                cut.doubtful -= 1
            raise
        cut.deleted = True
        self.check()

    async def _list(self, controller: Controller) -> None:
        token, seen = "", set[str]()
        while True:
            page = await controller.list_snapshots(ListSnapshots(maximum=1, token=token))
            if again := seen & {each.id for each in page.snapshots}:
                raise Violation(f"list shows {again} twice")
            seen |= {each.id for each in page.snapshots}
            token = page.token
            if not token:
                return

    def check(self) -> None:
        """Every snapshot that is known holds what it held, and one that is deleted is nowhere. Raises Violation."""
        there = schedule_view.volumes(self.world)
        for cut in self.cuts.values():
            if cut.deleted and cut.id in there:
                raise Violation(f"{cut.id} was deleted and is on a disk")
            if cut.certain and cut.id not in there:
                raise Violation(f"{cut.id} is lost")
            if cut.certain and self._raw(cut.id, cut.offset) != cut.raw:
                raise Violation(f"{cut.id} has changed from {cut.raw!r} to {self._raw(cut.id, cut.offset)!r}")

    def _raw(self, identity: str, offset: int) -> bytes:
        _, group, lv = schedule_view.volumes(self.world)[identity]
        return schedule_view.peek(group, lv, offset, MARK)

    async def give_back(self, until_ok: Ends) -> None:
        """Everything goes, what nobody was told of too."""
        for name in COPIES:
            while self._of(name):
                await until_ok(f"delete {name}", partial(self._delete_name, name))
        for identity in [each for each in schedule_view.volumes(self.world) if each.startswith("snap-")]:
            await until_ok(f"delete {identity}", partial(self.world.delete_snapshot, identity))
        for cut in self.cuts.values():
            cut.deleted = True
        self.check()

    def _of(self, name: str) -> list[str]:
        return [each for each in schedule_view.volumes(self.world) if volume_key(name) in each]

    async def _delete_name(self, name: str) -> None:
        """One of the volumes of a name; a claim that is not whole is dropped when its source is gone."""
        _, _, lv = schedule_view.volumes(self.world)[self._of(name)[0]]
        told = tags.fields(lv.tags)
        fs = FsType(told["fs"]) if "fs" in told else None
        capability = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT if fs else AccessType.BLOCK, fs)
        try:
            made = await self.world.create(name, 0, capability, told["source"])
        except NotFound:
            if self._of(name):
                raise
            return
        await self.world.delete(made.id)
