"""A whole cluster in one process: simulated hosts, on each an agent and a node plugin, and controllers over them.

async with World.of(NodeSpec(name="a"), NodeSpec(name="b", size=0)) as world:
    volume = await world.create("pvc-1")
    use = await world.use(volume.id, "b")
    await world["b"].host.write(f"{use.target}/file", b"data")
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self, TypeVar

from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.picture import Picture
from csi_driver.agent.service import Agent
from csi_driver.control.context import Context
from csi_driver.control.requests import CreateVolume, DeleteVolume, PublishVolume, UnpublishVolume, VolumeView
from csi_driver.control.service import Controller
from csi_driver.errors import DriverError, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.watcher import Timing
from csi_driver.kit.effects import Effects
from csi_driver.kit.jobs import Jobs
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.inventory import AgentInfo, Change
from csi_driver.model.publication import Attachment, Publication, PublishRequest
from csi_driver.model.sizes import GIB
from csi_driver.model.topology import NODE_KEY
from csi_driver.model.volume import Limits, Volume, VolumeSpec
from csi_driver.node.attachments import Attachments
from csi_driver.node.context import NodeContext, Patience
from csi_driver.node.requests import BindRequest, StageRequest, UnbindRequest, UnstageRequest
from csi_driver.node.service import NodePlugin
from csi_driver.node.stages import Stages
from csi_driver.node.start import start as start_plugin
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import Killed
from csi_driver.testing.host import SimHost
from csi_driver.testing.mounts import SimMounts
from csi_driver.testing.network import SimNetwork

T = TypeVar("T")

CONTROLLER = "controller"
"""The name that links to a controller are cut by."""
PATIENCE = Patience(disk=0.5, session=0.1, look=0.005, logout=0.02)
TIMING = Timing(silence=5, first_contact=1, shortest_pause=0.005, longest_pause=0.02)
MOUNT = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT, FsType.EXT4)
BLOCK = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.BLOCK)
KUBELET = "/var/lib/kubelet"


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node. ``size`` is bytes of its volume group ``vg0``, half of it the thin pool; 0: no disks."""

    name: str
    size: int = 8 * GIB
    overcommit: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Use:
    """A volume in use by a pod of a node."""

    volume: str
    node: str
    capability: Capability
    staging: str
    target: str


class Process:
    """One run of ``clinker node`` on a host."""

    def __init__(self, spec: NodeSpec, host: SimHost) -> None:
        self.ended = asyncio.Event()
        self.attachments = Attachments(host.records("attachments"), host.initiator)
        settings = AgentSettings(
            portals=(host.portal,),
            pools=(PoolSettings(name="fast", vg="vg0", thin_pool="pool", overcommit=spec.overcommit),)
            if spec.size
            else (),
        )
        info = AgentInfo(
            node=spec.name,
            boot_id=host.facts.boot_id(),
            initiator=host.machine.initiator,
            portals=settings.portals,
            segments={NODE_KEY: spec.name},
        )
        self._jobs = (Jobs(), Jobs())
        context = AgentContext(
            node=spec.name,
            cluster="test",
            doors=host.storage,
            settings=settings,
            journal=Journal(host.records("journal")),
            picture=Picture(),
            jobs=self._jobs[0],
        )
        self.agent = Agent(context, self.attachments, lambda: info)
        self.node_context = NodeContext(
            node=spec.name,
            doors=host.consumer,
            attachments=self.attachments,
            stages=Stages(host.records("stages")),
            jobs=self._jobs[1],
            patience=PATIENCE,
        )
        self.plugin = NodePlugin(self.node_context)

    async def start(self) -> None:
        """As the process does before it serves."""
        await start_plugin(self.node_context)
        await self.agent.start()

    def end(self) -> None:
        """Its tasks are no more; whoever waits for an answer learns that there will be none."""
        self.ended.set()
        for jobs in self._jobs:
            for job in jobs.running():
                job.task.cancel()
        for task in self.agent.tasks:
            task.cancel()


class Node:
    """A host and what runs on it."""

    def __init__(self, spec: NodeSpec, network: SimNetwork) -> None:
        self.spec = spec
        self.host = SimHost(spec.name, network)
        if spec.size:
            self.host.add_group("vg0", spec.size, thin_pool="pool")
        self.process: Process | None = None

    async def start(self, layer: Effects | None = None) -> None:
        """Start the driver's process, with a fault layer perhaps. It may die of that at once."""
        if layer is not None:
            self.host.effects.layer = layer
        loop = asyncio.get_running_loop()

        def die() -> None:
            loop.call_soon(self.crash)

        self.host.effects.on_death = die
        self.process = process = Process(self.spec, self.host)
        try:
            await process.start()
        except Killed:
            self.crash()

    def crash(self, *, power: bool = False) -> None:
        """The process dies; with ``power`` the machine with it, and is off."""
        process, self.process = self.process, None
        if process is not None:
            process.end()
        if power:
            self.host.power_off()
        else:
            self.host.process_crash()

    async def restart(self, layer: Effects | None = None) -> None:
        """End the process and start it again."""
        self.crash()
        await self.start(layer)

    async def reboot(self, layer: Effects | None = None) -> None:
        """Pull the plug, put it in again, start the process."""
        self.crash(power=True)
        self.host.power_on()
        await self.start(layer)

    @property
    def plugin(self) -> NodePlugin:
        """Unavailable when the process is dead."""
        return self.running().plugin

    def running(self) -> Process:
        """The process. Unavailable when it is dead."""
        if self.process is None:
            raise Unavailable(f"no process on {self.spec.name}")
        return self.process

    async def ask(self, verb: Callable[[Process], Awaitable[T]]) -> T:
        """What the process answers. Unavailable when it dies before."""
        process = self.running()
        work = asyncio.ensure_future(verb(process))
        ended = asyncio.ensure_future(process.ended.wait())
        try:
            await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not process.ended.is_set():
                return work.result()
        except (Killed, asyncio.CancelledError):
            if not process.ended.is_set() and not work.done():
                raise
        finally:
            ended.cancel()
            if not work.done():
                work.cancel()
            await asyncio.gather(work, ended, return_exceptions=True)
        raise Unavailable(f"the process on {self.spec.name} died before it answered")


@dataclass(frozen=True)
class Line:
    """The controller's way to an agent; implements ``AgentPort``."""

    node: Node
    network: SimNetwork

    async def _ask(self, verb: Callable[[Agent], Awaitable[T]]) -> T:
        self._check()
        return await self.node.ask(lambda process: verb(process.agent))

    def _check(self) -> None:
        if not self.network.linked(CONTROLLER, self.node.spec.name):
            raise Unavailable(f"{self.node.spec.name} cannot be reached")

    async def describe(self) -> AgentInfo:
        return await self._ask(lambda agent: agent.describe())

    async def watch(self) -> AsyncIterator[Change]:
        self._check()
        stream = self.node.running().agent.watch()
        while (change := await self._ask(lambda _: anext(stream, None))) is not None:
            yield change

    async def find(self, key: str) -> tuple[Volume, ...]:
        return await self._ask(lambda agent: agent.find(key))

    async def claim(self, spec: VolumeSpec) -> Volume:
        return await self._ask(lambda agent: agent.claim(spec))

    async def commit(self, volume: VolumeId) -> Volume:
        return await self._ask(lambda agent: agent.commit(volume))

    async def drop(self, volume: VolumeId) -> None:
        await self._ask(lambda agent: agent.drop(volume))

    async def get(self, volume: VolumeId) -> Volume:
        return await self._ask(lambda agent: agent.get(volume))

    async def delete(self, volume: VolumeId) -> None:
        await self._ask(lambda agent: agent.delete(volume))

    async def extend(self, volume: VolumeId, size: int) -> Volume:
        return await self._ask(lambda agent: agent.extend(volume, size))

    async def publish(self, request: PublishRequest) -> Publication:
        return await self._ask(lambda agent: agent.publish(request))

    async def unpublish(self, volume: VolumeId, node: str) -> None:
        await self._ask(lambda agent: agent.unpublish(volume, node))

    async def hold(self, attachment: Attachment) -> None:
        await self._ask(lambda agent: agent.hold(attachment))

    async def release(self, volume: VolumeId) -> None:
        await self._ask(lambda agent: agent.release(volume))


@dataclass
class World:
    """The cluster. ``controller`` is one of any number: ``new_controller`` makes more over the same agents."""

    network: SimNetwork
    nodes: dict[str, Node]
    fleets: list[Fleet] = field(default_factory=list)
    controllers: list[Controller] = field(default_factory=list)

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
        self.controllers.append(Controller(Context(fleet=fleet)))
        return self.controllers[-1]

    @property
    def controller(self) -> Controller:
        """The newest."""
        return self.controllers[-1]

    def __getitem__(self, name: str) -> Node:
        return self.nodes[name]

    def leftovers(self) -> tuple[str, ...]:
        """What volumes left on any host; empty when nothing is left."""
        return tuple(f"{name}: {each}" for name, node in self.nodes.items() for each in node.host.leftovers())

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

    async def create(self, name: str, size: int = GIB, capability: Capability = MOUNT, **parameters: str) -> VolumeView:
        """A volume. ``parameters`` are those of its class."""
        limits = Limits(required=size)
        order = CreateVolume(name=name, capabilities=(capability,), limits=limits, parameters=parameters)
        return await self.controller.create_volume(order)

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
