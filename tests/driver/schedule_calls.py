"""The RPCs of a random schedule: each is drawn, called once, and what its answer says is told to the model."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from csi_driver.control.requests import (
    CreateVolume,
    DeleteVolume,
    ExpandVolume,
    GetCapacity,
    GetVolume,
    ListVolumes,
    PublishVolume,
    UnpublishVolume,
)
from csi_driver.control.service import Controller
from csi_driver.errors import DriverError, InternalError, NotFound
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.sizes import MIB
from csi_driver.model.volume import Limits
from csi_driver.node.requests import ExpandRequest, StatsRequest
from csi_driver.testing.nodes import Node as Device
from tests.driver import schedule_view
from tests.driver.schedule_cluster import Cluster
from tests.driver.schedule_copies import CopyCalls
from tests.driver.schedule_model import Known, Model, Violation
from tests.driver.world import Use

RW = AccessMode.SINGLE_NODE_WRITER
NAMES: dict[str, Capability] = {
    "pvc-0": Capability(RW, AccessType.MOUNT, FsType.EXT4),
    "pvc-1": Capability(RW, AccessType.BLOCK),
    "pvc-2": Capability(RW, AccessType.MOUNT, FsType.XFS),
    "pvc-3": Capability(AccessMode.SINGLE_NODE_SINGLE_WRITER, AccessType.BLOCK),
    "pvc-4": Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.BLOCK),
}
LAYOUTS = {"pvc-0": "thin", "pvc-1": "thick", "pvc-2": "thick", "pvc-3": "thin", "pvc-4": "thin"}
SIZE, STEP, MOST = 320 * MIB, 64 * MIB, 640 * MIB
NODES = ("a", "b", "c")
Call = Callable[[Controller], Awaitable[None]]


@dataclass(frozen=True)
class Drawn:
    """An RPC with its arguments. May be called again: then it is a duplicate."""

    what: str
    call: Call


class Calls:
    """Draws them. Half of the time what would come next in a volume's life, else anything."""

    def __init__(self, world: Cluster, model: Model, dice: random.Random) -> None:
        self.world, self.model, self.dice = world, model, dice
        self.copies = CopyCalls(world, model, dice)
        self.uses: set[tuple[str, str]] = set()
        self.pods: dict[tuple[str, str], Device | None] = {}
        """Volumes in use by a pod on a node, and the device that is kept open for it."""
        self._verbs: tuple[tuple[int, Callable[[Known, str], Drawn]], ...] = (
            (10, self.publish),
            (14, self.stage),
            (14, self.bind),
            (6, self.unbind),
            (6, self.unstage),
            (6, self.unpublish),
            (3, self.delete),
            (5, self.expand),
            (5, self.node_expand),
            (3, self.get),
            (2, self.stats),
        )

    def draw(self) -> Drawn:
        """The next one."""
        alive = [each for each in self.model.known.values() if not each.deleted]
        if not alive or self.dice.random() < 0.1:
            return self.create(self.dice.choice(tuple(NAMES)))
        if self.dice.random() < 0.05:
            return self.dice.choice((self.listing, self.capacity))()
        known = self.dice.choice(alive)
        if self.dice.random() < 0.12:
            return Drawn(*self.copies.draw(known))
        if self.dice.random() < 0.05:
            known = self.dice.choice(tuple(self.model.known.values()))
        granted = [node for node, grant in known.grants.items() if not grant.ended]
        node = self.dice.choice(granted) if granted and self.dice.random() < 0.8 else self.dice.choice(NODES)
        weights = [weight for weight, _ in self._verbs]
        (chosen,) = self.dice.choices(self._verbs, weights)
        return chosen[1](known, node)

    # -- the controller's

    def create(self, name: str) -> Drawn:
        async def call(controller: Controller) -> None:
            gone = {each.id for each in self.model.known.values() if each.deleted}
            calm, there = self.world.upsets, schedule_view.volumes(self.world).keys()
            order = CreateVolume(
                name=name,
                capabilities=(NAMES[name],),
                limits=Limits(required=SIZE),
                parameters={"layout": LAYOUTS[name]},
            )
            made = await controller.create_volume(order)
            # A twin that a silent node had brought back before may be chosen (DESIGN 3); none may be made.
            sure = self.world.is_calm(since=calm) and (not calm or made.id not in there)
            self.model.created(name, made.id, NAMES[name], SIZE, before=gone, sure=sure)

        return Drawn(f"create {name}", call)

    def delete(self, known: Known, _: str) -> Drawn:
        async def call(controller: Controller) -> None:
            self.model.delete_begins(known.id)
            try:
                await controller.delete_volume(DeleteVolume(id=known.id))
            except DriverError as error:
                if error.final and not isinstance(error, InternalError):
                    self.model.delete_refused(known.id)
                raise
            self.model.deleted(known.id)

        return Drawn(f"delete {known.id}", call)

    def publish(self, known: Known, node: str) -> Drawn:
        async def call(controller: Controller) -> None:
            began = self.model.publish_begins(known.id, node)
            context = None
            try:
                order = PublishVolume(id=known.id, node=node, capability=known.capability)
                context = (await controller.publish_volume(order)).context.to_map()
            finally:
                self.model.publish_ends(known.id, node, began, context)

        return Drawn(f"publish {known.id} {node}", call)

    def unpublish(self, known: Known, node: str) -> Drawn:
        nodes = NODES if self.dice.random() < 0.1 else (node,)

        async def call(controller: Controller) -> None:
            began = self.model.unpublish_begins(known.id, nodes)
            try:
                await controller.unpublish_volume(UnpublishVolume(id=known.id, node=node if len(nodes) == 1 else ""))
            finally:
                self.model.unpublish_ends(known.id, began)
            self.model.unpublished(known.id, began)

        return Drawn(f"unpublish {known.id} {', '.join(nodes)}", call)

    def expand(self, known: Known, _: str) -> Drawn:
        size = min(known.size + STEP * self.dice.randint(0, 1), MOST)

        async def call(controller: Controller) -> None:
            answer = await controller.expand_volume(ExpandVolume(id=known.id, limits=Limits(required=size)))
            self.model.grew(known.id, answer.size)

        return Drawn(f"expand {known.id} {size}", call)

    def get(self, known: Known, _: str) -> Drawn:
        async def call(controller: Controller) -> None:
            certain = known.certain
            try:
                shown = await controller.get_volume(GetVolume(id=known.id))
            except NotFound as error:
                if certain and known.certain:
                    raise Violation(f"{known.id} stands and get says {error}") from error
                raise
            if known.certain and shown.size < SIZE:
                raise Violation(f"{known.id} is shown with {shown.size} bytes")

        return Drawn(f"get {known.id}", call)

    def listing(self) -> Drawn:
        async def call(controller: Controller) -> None:
            token, seen = "", set[str]()
            while True:
                page = await controller.list_volumes(ListVolumes(maximum=2, token=token))
                again = seen & {each.id for each in page.volumes}
                if again:
                    raise Violation(f"list shows {again} twice")
                seen |= {each.id for each in page.volumes}
                token = page.token
                if not token:
                    return

        return Drawn("list", call)

    def capacity(self) -> Drawn:
        async def call(controller: Controller) -> None:
            room = await controller.get_capacity(GetCapacity())
            if not 0 <= room.maximum <= room.available:
                raise Violation(f"capacity {room}")

        return Drawn("capacity", call)

    # -- the node plugin's

    def _use(self, known: Known, node: str) -> tuple[Use, dict[str, str]]:
        """Where, and with which publish context: the last mostly, an old one sometimes."""
        self.uses.add((known.id, node))
        told = known.contexts[node]
        old = self.dice.choice(told) if told and self.dice.random() < 0.1 else None
        return self.world.place(known.id, node, known.capability), old or (told[-1] if told else {})

    def stage(self, known: Known, node: str) -> Drawn:
        use, context = self._use(known, node)
        return self._on(f"stage {known.id} {node}", lambda: self.world.stage(use, context))

    def bind(self, known: Known, node: str) -> Drawn:
        use, context = self._use(known, node)

        async def bind() -> None:
            await self.world.bind(use, context)
            self.hold(use)

        return self._on(f"bind {known.id} {node}", bind)

    def unbind(self, known: Known, node: str) -> Drawn:
        use, _ = self._use(known, node)

        async def unbind() -> None:
            self.let_go(use)
            await self.world.unbind(use)

        return self._on(f"unbind {known.id} {node}", unbind)

    def hold(self, use: Use) -> None:
        """A pod runs. Of a block volume kubelet keeps the device open (a loop device): its number stays taken."""
        device = self.world[use.node].host.machine.node_at(use.target)
        if (use.volume, use.node) not in self.pods or self.pods[use.volume, use.node] is not device:
            self.let_go(use)
            self.pods[use.volume, use.node] = device
            if device is not None:
                device.open()

    def let_go(self, use: Use) -> None:
        """The pod has ended."""
        device = self.pods.pop((use.volume, use.node), None)
        if device is not None and device in self.world[use.node].host.machine.kernel.nodes.values():
            device.close()

    def unstage(self, known: Known, node: str) -> Drawn:
        use, _ = self._use(known, node)
        return self._on(f"unstage {known.id} {node}", lambda: self.world.unstage(use))

    def node_expand(self, known: Known, node: str) -> Drawn:
        use, _ = self._use(known, node)
        request = ExpandRequest(volume=known.id, volume_path=use.target, limits=Limits(required=known.size))
        return self._on(
            f"node expand {known.id} {node}",
            lambda: self.world[node].ask(lambda process: process.plugin.expand(request)),
        )

    def stats(self, known: Known, node: str) -> Drawn:
        use, _ = self._use(known, node)
        request = StatsRequest(volume=known.id, volume_path=use.target)
        return self._on(
            f"stats {known.id} {node}", lambda: self.world[node].ask(lambda process: process.plugin.stats(request))
        )

    @staticmethod
    def _on(what: str, ask: Callable[[], Awaitable[object]]) -> Drawn:
        async def call(_: Controller) -> None:
            await ask()

        return Drawn(what, call)
