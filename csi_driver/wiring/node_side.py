"""The parts of a process that has disks or pods: the agent and the node plugin, over any doors."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from prometheus_client import CollectorRegistry

from csi_driver.agent import provide
from csi_driver.agent.context import AgentContext
from csi_driver.agent.journal import Journal
from csi_driver.agent.offer import Offer
from csi_driver.agent.picture import Picture
from csi_driver.agent.service import Agent
from csi_driver.kit.jobs import Jobs
from csi_driver.metrics.jobs import JobMetrics
from csi_driver.metrics.pools import PoolMetrics
from csi_driver.metrics.publications import PublicationMetrics
from csi_driver.node import start as node_start
from csi_driver.node.attachments import Attachments
from csi_driver.node.context import NodeContext
from csi_driver.node.release import Consumer
from csi_driver.node.service import NodePlugin
from csi_driver.node.stages import Stages
from csi_driver.settings import Settings
from csi_driver.wiring.doors import HostDoors
from csi_driver.wiring.identity import NodeIdentity, node_name


class PluginPart:
    """The node plugin. Its jobs are let end."""

    def __init__(self, settings: Settings, doors: HostDoors) -> None:
        self._context = NodeContext(
            node=node_name(settings),
            zone=settings.zone,
            doors=doors.consumer,
            attachments=Attachments(doors.attachments, doors.consumer.initiator),
            stages=Stages(doors.stages),
            settings=settings.consumer,
            jobs=Jobs(),
        )
        self.plugin = NodePlugin(self._context)
        self.consumer = Consumer(self._context)
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Mend what a crash left."""
        await node_start.start(self._context)

    async def quiesce(self) -> None:
        """Nothing comes but through the server."""

    async def close(self) -> None:
        """Return when the last job has ended."""
        await self._context.jobs.drain()


class AgentPart:
    """The agent: everything is exported again before ``start`` returns."""

    def __init__(self, settings: Settings, doors: HostDoors, consumer: Consumer, registry: CollectorRegistry) -> None:
        self._identity = NodeIdentity(settings, doors.storage.host, doors.consumer.initiator)
        self.context = AgentContext(
            node=node_name(settings),
            cluster=settings.cluster,
            doors=doors.storage,
            settings=settings.agent,
            offer=Offer(doors.offer, settings.agent.pools),
            journal=Journal(doors.journal),
            picture=Picture(),
            refers=consumer.refers,
        )
        picture = self.context.picture
        context, plans = self.context, doors.plans
        self.agent = Agent(
            context,
            consumer,
            self._identity.describe,
            ended=JobMetrics(registry).ended,
            provide=lambda: provide.provide(context, plans),
        )
        PoolMetrics(registry, lambda: picture.pools)
        journal = self.context.journal
        PublicationMetrics(
            registry,
            all_of_them=lambda: len(journal.all()),
            at_risk=lambda: sum(entry.unflushed for entry in journal.all()),
        )
        self._follow: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """The agent's, and the look at who we are."""
        return self.agent.tasks + ((self._follow,) if self._follow else ())

    async def start(self) -> None:
        """See ``Agent.start``."""
        await self._identity.look()
        self.context.picture.set_info(self._identity.describe())
        await self.agent.start()
        follow = self._identity.follow(self.context.picture.set_info)
        self._follow = asyncio.create_task(follow, name="identity")

    async def quiesce(self) -> None:
        """Begin nothing new by ourselves: no look, no further try to export."""
        for task in self.tasks:
            task.cancel()

    async def close(self) -> None:
        """See ``Agent.stop``."""
        await self.agent.stop()
        if self._follow is not None:
            with suppress(asyncio.CancelledError):
                await self._follow
