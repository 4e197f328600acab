"""The nodes of the world: a simulated host each, with the process of ``clinker node`` on it, and the way to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.service import Agent
from csi_driver.errors import Unavailable
from csi_driver.kit.effects import Effects
from csi_driver.kit.jobs import Jobs
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.publication import Attachment, Publication, PublishRequest
from csi_driver.model.sizes import GIB
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.topology import NODE_KEY
from csi_driver.model.volume import Volume, VolumeSpec
from csi_driver.node.attachments import Attachments
from csi_driver.node.context import NodeContext, Patience
from csi_driver.node.release import Consumer
from csi_driver.node.service import NodePlugin
from csi_driver.node.stages import Stages
from csi_driver.node.start import start as start_plugin
from csi_driver.settings import AgentSettings, PoolSettings
from csi_driver.testing.faults import Killed
from csi_driver.testing.host import SimHost
from csi_driver.testing.network import SimNetwork

T = TypeVar("T")

CONTROLLER = "controller"
"""The name that links to a controller are cut by."""
TARGET = re.compile(r"/var/lib/kubelet/pods/[^/]+/volumes/[^/]+")
PATIENCE = Patience(disk=0.5, session=0.1, look=0.005, logout=0.02)


@dataclass(frozen=True, kw_only=True)
class NodeSpec:
    """One node. ``size`` is bytes of its volume group ``vg0``, half of it the thin pool; 0: no disks."""

    name: str
    size: int = 8 * GIB
    overcommit: float = 1.0


class Process:
    """One run of ``clinker node`` on a host."""

    def __init__(self, spec: NodeSpec, host: SimHost) -> None:
        self.ended = asyncio.Event()
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
        self.node_context = NodeContext(
            node=spec.name,
            doors=host.consumer,
            attachments=Attachments(host.records("attachments"), host.initiator),
            stages=Stages(host.records("stages")),
            jobs=self._jobs[1],
            patience=PATIENCE,
        )
        consumer = Consumer(self.node_context)
        context = AgentContext(
            node=spec.name,
            cluster="test",
            doors=host.storage,
            settings=settings,
            offer=Offer(host.records("offer"), settings.pools),
            journal=Journal(host.records("journal")),
            picture=Picture(),
            refers=consumer.refers,
            jobs=self._jobs[0],
        )
        self.agent = Agent(context, consumer, lambda: info)
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

    def pod_paths(self) -> tuple[str, ...]:
        """Target paths that are still there."""
        paths = self.host.machine.disks.paths
        return tuple(f"path {path}" for path in paths if TARGET.fullmatch(path))

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
            # A cancellation meant for us is never taken for the end of the process, even when both come at once.
            asker = asyncio.current_task()
            if (asker and asker.cancelling()) or (not process.ended.is_set() and not work.done()):
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

    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        await self._ask(lambda agent: agent.choose_pools(pools))

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

    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        return await self._ask(lambda agent: agent.cut(spec))

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        return await self._ask(lambda agent: agent.find_snapshots(key))

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        return await self._ask(lambda agent: agent.get_snapshot(identity))

    async def delete_snapshot(self, identity: SnapshotId) -> None:
        await self._ask(lambda agent: agent.delete_snapshot(identity))

    async def publish(self, request: PublishRequest) -> Publication:
        return await self._ask(lambda agent: agent.publish(request))

    async def unpublish(self, volume: VolumeId, node: str) -> int:
        return await self._ask(lambda agent: agent.unpublish(volume, node))

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        return await self._ask(lambda agent: agent.publications(volume))

    async def hold(self, attachment: Attachment) -> None:
        await self._ask(lambda agent: agent.hold(attachment))

    async def release(self, volume: VolumeId, number: int) -> None:
        await self._ask(lambda agent: agent.release(volume, number))
