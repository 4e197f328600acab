"""A whole cluster in one process: simulated hosts, on each an agent and a node plugin, and controllers over them.

async with World.of(NodeSpec(name="a"), NodeSpec(name="b", size=0)) as world:
    volume = await world.create("pvc-1")
    use = await world.use(volume.id, "b")
    await world["b"].host.write(f"{use.target}/file", b"data")
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self, TypeVar

from csi_driver.control.context import Context
from csi_driver.control.overdue import Overdue
from csi_driver.control.requests import (
    CreateSnapshot,
    CreateVolume,
    DeleteSnapshot,
    DeleteVolume,
    PublishVolume,
    UnpublishVolume,
    VolumeView,
)
from csi_driver.control.service import Controller
from csi_driver.errors import DriverError
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.watcher import Timing
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.sizes import GIB
from csi_driver.model.volume import Limits
from csi_driver.node.requests import BindRequest, StageRequest, UnbindRequest, UnstageRequest
from csi_driver.testing.faults import Killed
from csi_driver.testing.mounts import SimMounts
from csi_driver.testing.network import SimNetwork
from tests.driver.nodes import Line, Node, NodeSpec

T = TypeVar("T")

TIMING = Timing(silence=5, first_contact=1, shortest_pause=0.005, longest_pause=0.02)
MOUNT = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4)
BLOCK = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.BLOCK)
KUBELET = "/var/lib/kubelet"


@dataclass(frozen=True, kw_only=True)
class Use:
    """A volume in use by a pod of a node."""

    volume: str
    node: str
    capability: Capability
    staging: str
    target: str


@dataclass
class World:
    """The cluster. ``controller`` is one of any number: ``new_controller`` makes more over the same agents."""

    network: SimNetwork
    nodes: dict[str, Node]
    fleets: list[Fleet] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)
    background: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    def of(cls, *specs: NodeSpec) -> World:
        """Hosts and nothing running yet."""
        network = SimNetwork()
        return cls(network, {spec.name: Node(spec, network) for spec in specs})

    async def __aenter__(self) -> Self:
        for node in self.nodes.values():
            await node.start()
        await self.new_controller()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.background:
            task.cancel()
        for controller in self.controllers:
            controller.close()
        for fleet in self.fleets:
            await fleet.stop()
        for node in self.nodes.values():
            node.crash()

    async def new_controller(self) -> Controller:
        """One more, which has heard every agent that answers."""
        fleet = Fleet([Member(name, Line(node, self.network)) for name, node in self.nodes.items()], TIMING)
        await fleet.start()
        await fleet.wait_settled()
        self.fleets.append(fleet)
        context = Context(fleet=fleet)
        self.background.append(asyncio.create_task(Overdue(context, pause=0.05).run()))
        self.controllers.append(Controller(context))
        return self.controllers[-1]

    @property
    def controller(self) -> Controller:
        """The newest."""
        return self.controllers[-1]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def leftovers(self) -> tuple[str, ...]:
        """What volumes left on any host; empty when nothing is left. Of paths, those that NodePublish makes."""
        return tuple(
            f"{name}: {each}"
            for name, node in self.nodes.items()
            for each in (*node.host.leftovers(), *node.pod_paths())
        )

    async def cleaned(self) -> tuple[str, ...]:
        """What is left on any host when every process lives and has been told what is over."""
        await self.revive()
        end = asyncio.get_running_loop().time() + 10
        while (left := self.leftovers()) and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(0.01)
        return left

    async def revive(self) -> None:
        """Start every process that is dead on a machine that is on, without faults, as its DaemonSet would."""
        await asyncio.sleep(0)
        for node in self.nodes.values():
            if node.process is None and node.host.machine.on:
                await node.start()

    async def until_ok(self, verb: Callable[[], Awaitable[T]], *, patience: float = 10.0) -> T:
        """What the verb answers at last: repeated after every error, dead processes started again."""
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while True:
            try:
                return await verb()
            except (DriverError, Killed) as error:
                if loop.time() > end:
                    raise AssertionError(f"never succeeded: {error!r}") from error
            await self.revive()
            await asyncio.sleep(0.01)

    # -- what Kubernetes does for a user, each step once

    async def create(
        self, name: str, size: int = GIB, capability: Capability = MOUNT, source: str = "", **parameters: str
    ) -> VolumeView:
        """A volume, empty or of the snapshot or volume ``source``. ``parameters`` are those of its class; size 0: none
        is asked for.
        """
        limits = Limits(required=size or None)
        order = CreateVolume(name=name, capabilities=(capability,), limits=limits, parameters=parameters, source=source)
        return await self.controller.create_volume(order)

    async def snapshot(self, name: str, volume: str) -> str:
        """A snapshot; its id."""
        return (await self.controller.create_snapshot(CreateSnapshot(name=name, source=volume))).id

    async def delete_snapshot(self, snapshot: str) -> None:
        await self.controller.delete_snapshot(DeleteSnapshot(id=snapshot))

    async def delete(self, volume: str) -> None:
        await self.controller.delete_volume(DeleteVolume(id=volume))

    async def attach(self, volume: str, node: str, capability: Capability = MOUNT) -> dict[str, str]:
        """ControllerPublish; its publish context."""
        order = PublishVolume(id=volume, node=node, capability=capability)
        return (await self.controller.publish_volume(order)).context.to_map()

    async def detach(self, volume: str, node: str) -> None:
        await self.controller.unpublish_volume(UnpublishVolume(id=volume, node=node))

    def place(self, volume: str, node: str, capability: Capability = MOUNT, pod: str = "pod-1") -> Use:
        """Where kubelet would stage it and bind it for a pod."""
        staging = f"{KUBELET}/plugins/kubernetes.io/csi/csi.clinker.io/{volume}/globalmount"
        return Use(
            volume=volume,
            node=node,
            capability=capability,
            staging=staging,
            target=f"{KUBELET}/pods/{pod}/volumes/{volume}",
        )

    async def stage(self, use: Use, context: dict[str, str]) -> None:
        """NodeStage, after kubelet made the folder."""
        await SimMounts(self[use.node].host.machine).make_folder(use.staging)
        request = StageRequest(
            volume=use.volume, staging_path=use.staging, capability=use.capability, publish_context=context
        )
        await self[use.node].ask(lambda process: process.plugin.stage(request))

    async def bind(self, use: Use, context: dict[str, str]) -> None:
        """NodePublish."""
        request = BindRequest(
            volume=use.volume,
            staging_path=use.staging,
            target_path=use.target,
            capability=use.capability,
            publish_context=context,
        )
        await self[use.node].ask(lambda process: process.plugin.publish(request))

    async def unbind(self, use: Use) -> None:
        """NodeUnpublish."""
        request = UnbindRequest(volume=use.volume, target_path=use.target)
        await self[use.node].ask(lambda process: process.plugin.unpublish(request))

    async def unstage(self, use: Use) -> None:
        """NodeUnstage."""
        request = UnstageRequest(volume=use.volume, staging_path=use.staging)
        await self[use.node].ask(lambda process: process.plugin.unstage(request))

    # -- whole walks, each step until it succeeds

    async def use(self, volume: str, node: str, capability: Capability = MOUNT) -> Use:
        """Attached, staged and bound."""
        use = self.place(volume, node, capability)
        context = await self.until_ok(lambda: self.attach(volume, node, capability))
        await self.until_ok(lambda: self.stage(use, context))
        await self.until_ok(lambda: self.bind(use, context))
        return use

    async def let_go(self, use: Use) -> None:
        """Unbound, unstaged and detached."""
        await self.until_ok(lambda: self.unbind(use))
        await self.until_ok(lambda: self.unstage(use))
        await self.until_ok(lambda: self.detach(use.volume, use.node))
