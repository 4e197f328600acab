"""One volume's life, verb by verb, with one process killed, or one plug pulled, at one effect of one verb.

``walk(case, verb, fault)`` makes a world of its own each time, so walks may run at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, get_args

from csi_driver.control.requests import ExpandVolume
from csi_driver.kit.effects import Effects
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Limits
from csi_driver.node.requests import ExpandRequest, StatsRequest
from csi_driver.testing.faults import KillAt, Recorder, When
from csi_driver.testing.nodes import Node as Device
from tests.driver import schedule_view
from tests.driver.nodes import Node, NodeSpec
from tests.driver.schedule_cut import CutAt
from tests.driver.world import Use, World

CopyVerb = Literal["snapshot", "restore", "clone", "delete snapshot"]
UseVerb = Literal[
    "create", "publish", "stage", "bind", "expand", "node expand", "unbind", "unstage", "unpublish", "fence", "delete"
]
Verb = Literal[UseVerb, CopyVerb]
How = Literal["kill", "power"]
RW = AccessMode.SINGLE_NODE_WRITER
KINDS = {
    "ext4": Capability(RW, AccessType.MOUNT, FsType.EXT4),
    "xfs": Capability(RW, AccessType.MOUNT, FsType.XFS),
    "block": Capability(RW, AccessType.BLOCK),
    "shared": Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.BLOCK),
}
OWNER, OTHER, THIRD = "a", "b", "c"
"""The third uses a shared volume too, from its creation to its end, and must never notice anything."""
SETTLED, LIMIT = 10.0, 600.0
"""Seconds, by a clock that jumps: until nothing goes on any more, and for one whole life."""
CREATED, GROWN, MORE = GIB, 2 * GIB, GIB // 4
"""Bytes: at first, after it was expanded, and what a restored one has more."""
COPIES: frozenset[Verb] = frozenset(get_args(CopyVerb))
"""Verbs that are part of the lives of thin volumes only, and only of those that one of them is tried in."""
USED_BEFORE: frozenset[Verb] = frozenset({"publish", "stage", "bind"})
"""Verbs before which the volume gets its data in a use of its own: data has to be there to be lost."""
USED_AGAIN: frozenset[Verb] = frozenset({"unbind", "unstage", "unpublish", "fence"})
"""Verbs after which the data is looked at in another use."""


@dataclass(frozen=True)
class Case:
    """Which volume, used from where."""

    layout: str
    kind: str
    where: Literal["local", "iscsi"]
    wipe: str = "create"
    cached: bool = False
    """Not written through, and its users go on after a crash of the storage node."""

    @property
    def node(self) -> str:
        """Who uses it."""
        return OWNER if self.where == "local" else OTHER

    @property
    def parameters(self) -> dict[str, str]:
        """Of its class."""
        cached = {"writeCache": "back", "afterStorageCrash": "resume"} if self.cached else {}
        return {"layout": self.layout, "wipe": self.wipe, **cached}

    @property
    def capability(self) -> Capability:
        return KINDS[self.kind]

    @property
    def shared(self) -> bool:
        """Whether several nodes use it at once."""
        return self.capability.mode.many_nodes

    @property
    def raw(self) -> bool:
        """Whether its user sees a block device."""
        return self.capability.access is AccessType.BLOCK

    def hosts(self, *, overcommit: float) -> tuple[NodeSpec, ...]:
        """Where the life is lived."""
        own = NodeSpec(name=OWNER, overcommit=overcommit), NodeSpec(name=OTHER, size=0)
        return (*own, NodeSpec(name=THIRD, size=0)) if self.shared else own


@dataclass(frozen=True)
class Fault:
    """Effect ``number`` of a verb on a node, counted from 1, before or after which it happens."""

    node: str
    number: int
    when: When
    how: How = "kill"


@dataclass
class Outcome:
    """``state`` right after the verb; ``effects`` of the verb by node, as (name, subject)."""

    state: tuple[str, ...] = ()
    effects: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    hit: str = ""
    """The effect that the fault met; empty when it met none."""


async def walk(case: Case, verb: Verb, fault: Fault | None = None) -> Outcome:
    """Live the whole life, with the fault in ``verb``. AssertionError when anything is not as it should be."""
    async with World.of(*case.hosts(overcommit=4.0 if verb in COPIES else 1.0)) as world:
        life = Life(world, case, verb, fault)
        async with asyncio.timeout(LIMIT):
            await life.run()
        left = await world.cleaned()
        assert left == (), f"left behind: {left}"
        assert world.network.violations == []
    return life.outcome


class Life:
    """One walk. Each step repeats its verb until it succeeds, as its caller in Kubernetes does."""

    def __init__(self, world: World, case: Case, verb: Verb, fault: Fault | None) -> None:
        self.world, self.case, self.verb, self.fault = world, case, verb, fault
        self.outcome = Outcome()
        self.volume = ""
        self.context: dict[str, str] = {}
        self.staged = self.bound = False
        self.content = b""
        self.size = CREATED
        self.third: Use | None = None
        self.snapshot_id = ""
        self.copies: dict[str, str] = {}
        """What was made from the snapshot and from the volume, by name."""
        self.holds: list[Device] = []
        """Block devices that the pod keeps open."""

    async def run(self) -> None:
        """Everything, from create to delete."""
        await self.step("create", self.create)
        if self.case.shared:
            self.third = await self.world.use(self.volume, THIRD, self.case.capability)
        if self.verb in USED_BEFORE:
            await self.use_and_let_go(b"before")
        await self.step("publish", self.publish)
        await self.step("stage", self.stage)
        await self.step("bind", self.bind)
        await self.check()
        await self.write(b"written")
        await self.step("expand", self.expand)
        await self.step("node expand", self.node_expand)
        await self.check()
        if self.verb in COPIES and self.case.layout == "thin" and not self.case.shared:
            await self.copy()
        if self.verb == "fence":
            await self.step("fence", self.fence)
        await self.step("unbind", self.unbind)
        await self.step("unstage", self.unstage)
        await self.step("unpublish", self.unpublish)
        if self.verb in USED_AGAIN:
            await self.use_and_let_go(b"again")
        if self.third is not None:
            await self.world.let_go(self.third)
        await self.step("delete", self.delete)

    async def step(self, verb: Verb, once: Callable[[], Awaitable[None]]) -> None:
        """One verb, with the fault if it is meant for it."""
        if verb != self.verb:
            await self.world.until_ok(once)
            return
        with self.watched() as layers:
            await self.world.until_ok(lambda: self.with_repair(once))
            await self.settle()
        for name, layer in layers.items():
            self.outcome.effects[name] = layer.seen
        self.outcome.state = schedule_view.state(self.world)
        await self.check_third()

    async def settle(self) -> None:
        """What is dead is started again, and what goes on in the background ends."""
        await asyncio.sleep(SETTLED / 2)
        await self.repair()
        await self.world.revive()
        await asyncio.sleep(SETTLED / 2)

    @contextmanager
    def watched(self) -> Iterator[dict[str, Recorder]]:
        """Within this block every node's effects are counted, and the fault happens."""
        layers = {name: self.layer(node) for name, node in self.world.nodes.items()}
        for name, layer in layers.items():
            self.world[name].host.effects.layer = layer
        yield layers
        for name, layer in layers.items():
            host = self.world[name].host
            if host.effects.layer is layer:
                host.effects.layer = Effects()
            if isinstance(layer, KillAt | CutAt) and layer.dead and self.fault is not None:
                self.outcome.hit = " ".join(layer.seen[self.fault.number - 1])

    def layer(self, node: Node) -> Recorder:
        fault = self.fault
        if fault is None or fault.node != node.spec.name:
            return Recorder()
        return KillAt(fault.number, fault.when) if fault.how == "kill" else CutAt(node, fault.number, fault.when)

    async def with_repair(self, once: Callable[[], Awaitable[None]]) -> None:
        await self.repair()
        await once()

    async def repair(self) -> None:
        """Who lost power has it again, and kubelet there stages and binds what its pods use."""
        for name, node in self.world.nodes.items():
            if not node.host.machine.on:
                node.host.power_on()
                await node.start()
                if name == self.case.node and self.staged:
                    await self.world.until_ok(self.stage)
                if name == self.case.node and self.bound:
                    await self.world.until_ok(self.bind)

    async def copy(self) -> None:
        """A snapshot and a clone while a pod writes: each holds what was there when it was made."""
        await self.step("snapshot", self.snapshot)
        kept = self.content
        await self.write(b"later..")
        await self.step("restore", self.restore)
        await self.step("clone", self.clone)
        if self.case.where == "local" and self.case.kind != "block":
            self.assert_clean(self.snapshot_id)
        await self.check_copy("restored", kept, self.size + MORE)
        await self.check_copy("cloned", self.content, self.size)
        await self.step("delete snapshot", self.delete_snapshot)
        for name in tuple(self.copies):
            await self.check_copy(name, b"changed", 0)
            await self.world.until_ok(lambda name=name: self.world.delete(self.copies[name]))  # type: ignore[misc]
        await self.check()

    async def check_copy(self, name: str, content: bytes, size: int) -> None:
        """What was made from another holds ``content``, and can be used as any volume; ``size`` 0: it was checked."""
        use = await self.world.use(self.copies[name], OWNER, self.case.capability)
        host, path = self.world[OWNER].host, use.target + ("" if self.case.kind == "block" else "/file")
        assert await host.read(path, len(content)) == content, name
        if size:
            request = StatsRequest(volume=use.volume, volume_path=use.target)
            stats = await self.world[OWNER].ask(lambda process: process.plugin.stats(request))
            assert stats.bytes.total == size, f"{name} has {stats.bytes.total} bytes instead of {size}"
        await host.write(path, b"changed")
        await self.world.let_go(use)

    def assert_clean(self, snapshot: str) -> None:
        """What a local pod had mounted was at rest when it was cut."""
        _, group, lv = schedule_view.volumes(self.world)[snapshot]
        assert b'"clean": true' in schedule_view.peek(group, lv, 0, 4096), "the snapshot needs its journal"

    # -- the verbs, each once

    @property
    def use(self) -> Use:
        return self.world.place(self.volume, self.case.node, self.case.capability)

    @property
    def path(self) -> str:
        """What the application opens."""
        return self.use.target + ("" if self.case.raw else "/file")

    async def create(self) -> None:
        made = await self.world.create("pvc", CREATED, self.case.capability, **self.case.parameters)
        self.volume = made.id

    async def publish(self) -> None:
        self.context = await self.world.attach(self.volume, self.case.node, self.case.capability)

    async def stage(self) -> None:
        await self.world.stage(self.use, self.context)
        self.staged = True

    async def bind(self) -> None:
        await self.world.bind(self.use, self.context)
        self.bound = True

    async def expand(self) -> None:
        request = ExpandVolume(id=self.volume, limits=Limits(required=GROWN), capability=self.case.capability)
        self.size = (await self.world.controller.expand_volume(request)).size

    async def node_expand(self) -> None:
        request = ExpandRequest(volume=self.volume, volume_path=self.use.target, limits=Limits(required=self.size))
        await self.world[self.case.node].ask(lambda process: process.plugin.expand(request))

    async def snapshot(self) -> None:
        self.snapshot_id = await self.world.snapshot("snapshot", self.volume)

    async def restore(self) -> None:
        made = await self.world.create("restored", self.size + MORE, self.case.capability, self.snapshot_id)
        self.copies["restored"] = made.id

    async def clone(self) -> None:
        made = await self.world.create("cloned", 0, self.case.capability, self.volume)
        self.copies["cloned"] = made.id

    async def delete_snapshot(self) -> None:
        await self.world.delete_snapshot(self.snapshot_id)

    async def unbind(self) -> None:
        self.bound = False
        while self.holds:
            # The pod has ended; a boot has ended it before.
            device = self.holds.pop()
            if device.opens:
                device.close()
        await self.world.unbind(self.use)

    async def unstage(self) -> None:
        self.staged = False
        await self.world.unstage(self.use)

    async def unpublish(self) -> None:
        await self.world.detach(self.volume, self.case.node)

    async def fence(self) -> None:
        """Unpublish without unstage, as on force detach: on return nothing that the pod writes arrives."""
        # A pod that is being fenced is not set up anew where its node comes back.
        self.bound = self.staged = False
        device = self.world[self.case.node].host.machine.node_at(self.path)
        if device is not None and not self.holds:
            device.open()
            self.holds.append(device)
        await self.unpublish()
        await self.settle()
        await self.assert_fenced()

    async def delete(self) -> None:
        await self.world.delete(self.volume)

    # -- the application

    async def write(self, content: bytes) -> None:
        await self.world[self.case.node].host.write(self.path, content)
        self.content = content

    async def check(self) -> None:
        """What was written is there, and the whole volume can be used."""
        if self.content:
            read = await self.world[self.case.node].host.read(self.path, len(self.content))
            assert read == self.content, f"wrote {self.content!r}, read {read!r}"
        request = StatsRequest(volume=self.volume, volume_path=self.use.target)
        stats = await self.world[self.case.node].ask(lambda process: process.plugin.stats(request))
        assert stats.bytes.total == self.size, f"{stats.bytes.total} bytes, {self.size} are the volume's"

    async def check_third(self) -> None:
        """The node that uses a shared volume beside ours reads and writes, whatever befell the others."""
        if self.third is None or self.verb == "delete":
            return
        host = self.world[THIRD].host
        if self.content:
            assert await host.read(self.third.target, len(self.content)) == self.content
        await host.write(self.third.target, b"third", offset=512)
        assert await host.read(self.third.target, 5, offset=512) == b"third"

    async def assert_fenced(self) -> None:
        try:
            async with asyncio.timeout(SETTLED):
                await self.world[self.case.node].host.write(self.path, b"stolen!")
        except OSError:
            return
        _, group, lv = schedule_view.volumes(self.world)[self.volume]
        raw = schedule_view.peek(group, lv, 0 if self.case.raw else 1 << 20, 7)
        assert raw != b"stolen!", "a fenced pod's write has arrived"

    async def use_and_let_go(self, content: bytes) -> None:
        """A whole use of the volume by the owner, looked into and written in."""
        world, kind = self.world, self.case.capability
        use = await world.use(self.volume, OWNER, kind)
        path = use.target + ("" if self.case.raw else "/file")
        if self.content:
            assert await world[OWNER].host.read(path, len(self.content)) == self.content
        await world[OWNER].host.write(path, content)
        self.content = content
        await world.let_go(use)
