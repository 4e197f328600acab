"""The agent: its verbs, each a job of its volume that outlives the call (DESIGN 2)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Hashable, Mapping
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from csi_driver.agent import (
    claim,
    commit,
    delete,
    extend,
    find,
    pools,
    publish,
    restore,
    snapshot,
    tags,
    teardown,
    unpublish,
)
from csi_driver.agent.context import AgentContext
from csi_driver.agent.picture import reference
from csi_driver.agent.watch import EVERY, PoolWatch
from csi_driver.errors import DriverError, NotFound
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool
from csi_driver.model.publication import Attachment, Publication, PublishRequest
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Volume, VolumeSpec
from csi_driver.settings import PoolSettings, check_pools

log = logging.getLogger(__name__)
T = TypeVar("T")


def uncounted(verb: str, *, outcome: str, seconds: float) -> None:
    """For agents that nobody measures."""


async def nothing_to_make() -> Mapping[str, str]:
    """For agents whose pools are all given."""
    return {}


REFRESH = 30.0
"""Seconds between looks at the volume groups when nothing was changed by us: an operator may have changed something."""
GATHER = 0.2
"""Seconds from a change of ours to the look that it is followed by."""
RETRY_FIRST, RETRY_MOST = 1.0, 30.0
"""Seconds between tries to put up what could not be put up at the start."""


class ConsumerSide(Protocol):
    """What the agent passes on to the consumer's half of its node."""

    async def hold(self, attachment: Attachment) -> None:
        """Keep what is needed to log in."""
        ...

    async def release(self, volume: VolumeId, number: int) -> None:
        """Publications up to ``number`` are over."""
        ...

    def held(self) -> tuple[tuple[VolumeId, int], ...]:
        """Publications that something is held of, by volume and number."""
        ...

    def wanted(self) -> tuple[VolumeId, ...]:
        """Volumes whose secret is missing."""
        ...

    def on_change(self, told: Callable[[], None]) -> None:
        """Call ``told`` whenever ``held`` or ``wanted`` changes."""
        ...


class JobEnded(Protocol):
    """Told when a verb's job is over: ``outcome`` is ``ok`` or the kind of its error."""

    def __call__(self, verb: str, *, outcome: str, seconds: float) -> None: ...


class Agent:
    """One node's agent; implements ``fleet.port.AgentPort``.

    ``describe_node`` answers who the node is (its initiator name may change while we run). Call ``start`` before
    serving and ``stop`` at the end. ``ended`` is told how each job ended; ``provide`` makes pools that are missing
    and answers why it could not.
    """

    def __init__(
        self,
        context: AgentContext,
        consumer: ConsumerSide,
        describe_node: Callable[[], AgentInfo],
        ended: JobEnded = uncounted,
        provide: Callable[[], Awaitable[Mapping[str, str]]] = nothing_to_make,
    ) -> None:
        self.context, self._consumer, self._describe, self._ended = context, consumer, describe_node, ended
        self._pools, self._provide = PoolWatch(context), provide
        self._stale = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Put up again what the journal promises, look at everything once, then follow changes."""
        failed = await restore.restore(self.context)
        await self.refresh()
        self._consumer.on_change(self._look_at_consumer)
        self._look_at_consumer()
        self._tasks.append(asyncio.create_task(self._follow(), name="agent refresh"))
        self._tasks.append(asyncio.create_task(self._watch_pools(), name="agent pools"))
        if failed:
            self._tasks.append(asyncio.create_task(self._retry(failed), name="agent restore"))

    async def stop(self) -> None:
        """Let running jobs end, then close LVM. Nothing on the data path is touched."""
        await self.context.jobs.drain()
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self.context.doors.lvm.close()

    @property
    def tasks(self) -> tuple[asyncio.Task[None], ...]:
        """Background work; a process in which one dies should end."""
        return tuple(self._tasks)

    # -- looking

    async def describe(self) -> AgentInfo:
        """See ``AgentPort``."""
        return self._describe()

    def watch(self) -> AsyncIterator[Change]:
        """See ``AgentPort``."""
        self.context.picture.set_info(self._describe())
        return self.context.picture.watch()

    async def find(self, key: str) -> tuple[Volume, ...]:
        """See ``AgentPort``."""
        return await find.find(self.context, key)

    async def get(self, volume: VolumeId) -> Volume:
        """See ``AgentPort``."""
        return await find.get(self.context, volume)

    # -- changing

    async def claim(self, spec: VolumeSpec) -> Volume:
        """See ``AgentPort``."""
        return await self._job(spec.id, "claim", spec, lambda: claim.claim(self.context, spec))

    async def commit(self, volume: VolumeId) -> Volume:
        """See ``AgentPort``."""
        return await self._job(volume, "commit", None, lambda: commit.commit(self.context, volume))

    async def drop(self, volume: VolumeId) -> None:
        """See ``AgentPort``."""
        await self._job(volume, "drop", None, lambda: commit.drop(self.context, volume))

    async def delete(self, volume: VolumeId) -> None:
        """See ``AgentPort``."""
        await self._job(volume, "delete", None, lambda: delete.delete(self.context, volume))

    async def extend(self, volume: VolumeId, size: int) -> Volume:
        """See ``AgentPort``."""
        return await self._job(volume, "extend", size, lambda: extend.extend(self.context, volume, size))

    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        """See ``AgentPort``. A job of its source: nothing else happens to that meanwhile."""
        return await self._job(spec.source, "snapshot", spec, lambda: snapshot.snapshot(self.context, spec))

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        """See ``AgentPort``."""
        return await snapshot.find_snapshots(self.context, key)

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        """See ``AgentPort``."""
        return await snapshot.get_snapshot(self.context, identity)

    async def delete_snapshot(self, identity: SnapshotId) -> None:
        """See ``AgentPort``."""
        work = snapshot.delete_snapshot
        await self._job(identity, "delete snapshot", None, lambda: work(self.context, identity))

    async def publish(self, request: PublishRequest) -> Publication:
        """See ``AgentPort``."""
        return await self._job(request.volume, "publish", request, lambda: publish.publish(self.context, request))

    async def unpublish(self, volume: VolumeId, node: str) -> int:
        """See ``AgentPort``."""
        return await self._job(volume, "unpublish", node, lambda: unpublish.unpublish(self.context, volume, node))

    async def hold(self, attachment: Attachment) -> None:
        """See ``AgentPort``."""
        await self._consumer.hold(attachment)

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        """See ``AgentPort``."""
        return tuple(reference(entry) for entry in self.context.journal.of(volume))

    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        """See ``AgentPort``."""
        check_pools(pools)
        if await self.context.offer.choose(pools):
            self._stale.set()

    async def release(self, volume: VolumeId, number: int) -> None:
        """See ``AgentPort``."""
        await self._consumer.release(volume, number)

    # -- keeping the picture

    async def refresh(self) -> None:
        """Look at every volume group once and tell the watchers what differs."""
        context, problems = self.context, await self._provide()
        context.picture.begin_look()
        described: list[Pool] = []
        volumes: list[Volume] = []
        snapshots: list[Snapshot] = []
        for vg in context.offer.groups:
            members = context.offer.in_group(vg)
            try:
                group = await context.doors.lvm.group(vg)
            except NotFound as error:
                expected = (pool for pool in members if context.offer.expected(pool) or pool.name in problems)
                described += [
                    pools.missing(pool, context.node, problems.get(pool.name) or str(error)) for pool in expected
                ]
                if not members:
                    await context.offer.lost(vg)
                continue
            if any([await self._pools.settle(pool, group) for pool in members]):
                group = await context.doors.lvm.group(vg)
            described += [pools.describe(pool, group, context.node, problems.get(pool.name, "")) for pool in members]
            proven = (tags.volume(lv, node=context.node, cluster=context.cluster) for lv in group.volumes)
            ours = [volume for volume in proven if volume is not None]
            volumes += ours
            proven_cuts = (tags.snapshot(lv, node=context.node, cluster=context.cluster) for lv in group.volumes)
            cuts = [each for each in proven_cuts if each is not None]
            snapshots += cuts
            await (context.offer.found(vg) if members or ours or cuts else context.offer.lost(vg))
        context.picture.set_pools(tuple(described))
        context.picture.set_volumes(tuple(volumes))
        context.picture.set_snapshots(tuple(snapshots))

    async def _job(
        self, subject: VolumeId | SnapshotId, verb: str, request: Hashable, work: Callable[[], Coroutine[Any, Any, T]]
    ) -> T:
        async def work_and_look() -> T:
            began, outcome = time.monotonic(), "unknown"
            try:
                done = await work()
                outcome = "ok"
            except DriverError as error:
                outcome = error.kind.value
                raise
            else:
                return done
            finally:
                self._ended(verb, outcome=outcome, seconds=time.monotonic() - began)
                self._stale.set()

        return await self.context.jobs.run(str(subject), verb, request, work_and_look)

    def _look_at_consumer(self) -> None:
        self.context.picture.set_consumer(self._consumer.held(), self._consumer.wanted())

    async def _follow(self) -> None:
        while True:
            with suppress(TimeoutError):
                # wait_for of Python 3.11 may swallow a cancellation that comes with the event.
                async with asyncio.timeout(REFRESH):
                    await self._stale.wait()
            # What changes at once is looked at once: a look must not stand before the next command of a create.
            await asyncio.sleep(GATHER)
            self._stale.clear()
            try:
                await self.refresh()
                # Whoever held a severed wrapper may be gone by now, and no verb may ever come for its volume again.
                await teardown.sweep_severed(self.context)
            except DriverError as error:
                log.warning("volume groups could not be read", extra={"error": str(error)})

    async def _watch_pools(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            if await self._pools.look():
                self._stale.set()

    async def _retry(self, failed: tuple[VolumeId, ...]) -> None:
        pause = RETRY_FIRST
        while failed:
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)
            failed = tuple([volume for volume in failed if not await restore.again(self.context, volume)])
