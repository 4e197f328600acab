"""Agents in memory: the verbs of ``AgentPort`` as their contract says. A test may stop or fail each."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from typing import Self, TypeVar

from csi_driver.control.context import Context, Patience
from csi_driver.control.requests import CreateVolume
from csi_driver.control.service import Controller
from csi_driver.errors import Incompatible, NoCapacity, NotFound, Precondition, Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.watcher import Timing
from csi_driver.model import ids
from csi_driver.model.access import AccessMode, AccessType, Capability
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool
from csi_driver.model.publication import Attachment, Publication, PublishRequest, Transport
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import GIB, MIB, round_up
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.topology import NODE_KEY, ZONE_KEY, Segment, Topology
from csi_driver.model.volume import Content, Limits, Volume, VolumeSpec
from csi_driver.settings import PoolSettings

T = TypeVar("T")
EXTENT = 4 * MIB
QUICK = Timing(silence=5.0, first_contact=5.0, shortest_pause=0.01, longest_pause=0.02)


class FakeAgent:
    """One node. ``fail`` maps a verb to the error it raises before it does anything; ``lose`` after. ``stall``: verbs
    that wait as long as they are in it; ``slow``: seconds that a verb takes.
    """

    def __init__(self, node: str, *, size: int = 100 * GIB, zone: str = "", portals: bool = True) -> None:
        self.node, self.size = node, size
        labels = {NODE_KEY: node} | ({ZONE_KEY: zone} if zone else {})
        self.info = AgentInfo(
            node=node,
            boot_id="boot",
            initiator=f"iqn.1993-08.org.debian:01:{node}",
            portals=(f"{node}:3260",) if portals else (),
            segments=labels,
        )
        self.problem = ""
        self.silent = False
        self.mute = False
        self.volumes: dict[VolumeId, Volume] = {}
        self.snapshots: dict[SnapshotId, Snapshot] = {}
        self.entries: dict[tuple[VolumeId, str], Publication] = {}
        self.held: dict[VolumeId, Attachment] = {}
        self.wanted: tuple[VolumeId, ...] = ()
        self.calls: list[str] = []
        self.chosen: list[tuple[PoolSettings, ...]] = []
        self.fail: dict[str, Exception] = {}
        self.lose: dict[str, Exception] = {}
        self.stall: set[str] = set()
        self.slow: dict[str, float] = {}
        self._number = 0
        self._watchers: set[asyncio.Queue[Change | None]] = set()

    # -- for tests

    @property
    def pools(self) -> tuple[Pool, ...]:
        if not self.size:
            return ()
        free = self.size - sum(volume.size for volume in self.volumes.values())
        return (
            Pool(
                node=self.node,
                name="data",
                vg="vg",
                extent=EXTENT,
                thin_free=free,
                thick_free=free,
                problem=self.problem,
            ),
        )

    def tell(self, change: Change) -> None:
        for queue in self._watchers:
            queue.put_nowait(change)

    def tell_all(self) -> None:
        self.tell(self._everything())

    def want(self, *volumes: VolumeId) -> None:
        self.wanted = volumes
        self.tell(Change(wanted=volumes))

    def go_silent(self) -> None:
        """No verb is answered, and the stream ends."""
        self.silent = True
        for queue in self._watchers:
            queue.put_nowait(None)

    # -- the port

    async def describe(self) -> AgentInfo:
        if self.silent or self.mute:
            await asyncio.Event().wait()
        return self.info

    async def watch(self) -> AsyncIterator[Change]:
        self.calls.append("watch")
        if self.silent:
            raise Unavailable("connection refused")
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield self._everything()
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)
        raise Unavailable("connection reset")

    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        await self._verb("choose_pools", lambda: self.chosen.append(pools))

    async def find(self, key: str) -> tuple[Volume, ...]:
        return await self._verb("find", lambda: tuple(v for v in self.volumes.values() if v.id.key == key))

    async def claim(self, spec: VolumeSpec) -> Volume:
        return await self._verb("claim", lambda: self._claim(spec))

    async def commit(self, volume: VolumeId) -> Volume:
        return await self._verb("commit", lambda: self._commit(volume))

    async def drop(self, volume: VolumeId) -> None:
        await self._verb("drop", lambda: self._drop(volume))

    async def get(self, volume: VolumeId) -> Volume:
        return await self._verb("get", lambda: self._get(volume))

    async def delete(self, volume: VolumeId) -> None:
        await self._verb("delete", lambda: self._delete(volume))

    async def extend(self, volume: VolumeId, size: int) -> Volume:
        return await self._verb("extend", lambda: self._extend(volume, size))

    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        return await self._verb("cut", lambda: self._cut(spec))

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        return await self._verb("find_snapshots", lambda: tuple(s for s in self.snapshots.values() if s.id.key == key))

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        return await self._verb("get_snapshot", lambda: self._get_snapshot(identity))

    async def delete_snapshot(self, identity: SnapshotId) -> None:
        await self._verb("delete_snapshot", lambda: self._delete_snapshot(identity))

    async def publish(self, request: PublishRequest) -> Publication:
        return await self._verb("publish", lambda: self._publish(request))

    async def unpublish(self, volume: VolumeId, node: str) -> int:
        return await self._verb("unpublish", lambda: self._unpublish(volume, node))

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        refs = [self._ref(entry) for (each, _), entry in self.entries.items() if each == volume]
        return await self._verb("publications", lambda: tuple(refs))

    async def hold(self, attachment: Attachment) -> None:
        await self._verb("hold", lambda: self.held.update({attachment.volume: attachment}))

    async def release(self, volume: VolumeId, number: int) -> None:
        await self._verb("release", lambda: self._release(volume, number))

    async def _verb(self, name: str, act: Callable[[], T]) -> T:
        self.calls.append(name)
        if self.silent:
            raise Unavailable("connection refused")
        while name in self.stall:
            await asyncio.sleep(0.001)
        await asyncio.sleep(self.slow.get(name, 0.0))
        if name in self.fail:
            raise self.fail[name]
        done = await self._gated(name, act)
        if name in self.lose:
            raise self.lose[name]
        return done

    async def _gated(self, name: str, act: Callable[[], T]) -> T:
        return act()

    # -- what the verbs do

    def _claim(self, spec: VolumeSpec) -> Volume:
        size = round_up(spec.size, EXTENT)
        if spec.pool != "data":
            raise NotFound(f"no pool {spec.pool}")
        if spec.source and not {spec.source} & {*self.volumes, *self.snapshots}:
            raise NotFound(f"no {spec.source}")
        if spec.id not in self.volumes:
            free = self.pools[0].thin_free or 0
            if free < size:
                raise NoCapacity(f"{free} bytes left")
            fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)} | {"size": size}
            self.volumes[spec.id] = Volume(**fields, node=self.node, vg="vg", content=Content.CLAIMED, formatted=True)
            self._tell_volume(spec.id)
        return self.volumes[spec.id]

    def _commit(self, volume: VolumeId) -> Volume:
        self.volumes[volume] = dataclasses.replace(self._get(volume), content=Content.READY)
        self._tell_volume(volume)
        return self.volumes[volume]

    def _drop(self, volume: VolumeId) -> None:
        if volume in self.volumes and self.volumes[volume].content is not Content.CLAIMED:
            raise Precondition("it is committed")
        self._remove(volume)

    def _get(self, volume: VolumeId) -> Volume:
        if volume not in self.volumes:
            raise NotFound(f"no volume {volume}")
        return self.volumes[volume]

    def _delete(self, volume: VolumeId) -> None:
        for each, node in self.entries:
            if each == volume:
                raise Precondition(f"volume {volume} is published to node {node}")
        self._remove(volume)

    def _remove(self, volume: VolumeId) -> None:
        if self.volumes.pop(volume, None) is not None:
            self.tell(Change(volumes_gone=(volume,), pools=self.pools))

    def _extend(self, volume: VolumeId, size: int) -> Volume:
        found = self._get(volume)
        more = round_up(size, EXTENT) - found.size
        if more > (self.pools[0].thin_free or 0):
            raise NoCapacity("the pool is full")
        self.volumes[volume] = dataclasses.replace(found, size=found.size + max(more, 0))
        self._tell_volume(volume)
        return self.volumes[volume]

    def _cut(self, spec: SnapshotSpec) -> Snapshot:
        source = self._get(spec.source)
        standing = [each for each in self.snapshots.values() if each.id.key == spec.id.key]
        if standing:
            return standing[0]
        fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
        self.snapshots[spec.id] = Snapshot(
            **fields, node=self.node, vg="vg", pool="data", size=source.size, fs=source.fs, created=1_800_000_000
        )
        self.tell(Change(snapshots=(self.snapshots[spec.id],)))
        return self.snapshots[spec.id]

    def _get_snapshot(self, identity: SnapshotId) -> Snapshot:
        if identity not in self.snapshots:
            raise NotFound(f"no snapshot {identity}")
        return self.snapshots[identity]

    def _delete_snapshot(self, identity: SnapshotId) -> None:
        if self.snapshots.pop(identity, None) is not None:
            self.tell(Change(snapshots_gone=(identity,)))

    def _publish(self, request: PublishRequest) -> Publication:
        volume = self._get(request.volume)
        key = (request.volume, request.node)
        for each, node in self.entries:
            if each == request.volume and node != request.node:
                raise Precondition(f"volume {volume.id} is published to node {node}")
        entry = self.entries.get(key)
        plain = dataclasses.replace(request, new_secret=False)
        if entry is not None and entry.request != plain:
            raise Incompatible("published in another way")
        if entry is None or request.new_secret:
            self._number += 1
            remote = request.transport is Transport.ISCSI
            entry = Publication(
                request=plain,
                number=entry.number if entry else self._number,
                portals=self.info.portals if remote else (),
                chap_user="user" if remote else "",
                secret=Secret(f"secret-{self._number}") if remote else None,
                fs=volume.fs,
                size=volume.size,
            )
            self.entries[key] = entry
            self.tell(Change(publications=(self._ref(entry),)))
        return entry

    def _unpublish(self, volume: VolumeId, node: str) -> int:
        entry = self.entries.pop((volume, node), None)
        if entry is not None:
            self.tell(Change(publications_gone=((volume, node),)))
        return entry.number if entry else 0

    def _release(self, volume: VolumeId, number: int) -> None:
        held = self.held.get(volume)
        if held is not None and held.number <= number:
            del self.held[volume]
            self.tell_held()

    def tell_held(self) -> None:
        self.tell(Change(held=tuple((each, attachment.number) for each, attachment in self.held.items())))

    def _tell_volume(self, volume: VolumeId) -> None:
        self.tell(Change(volumes=(self.volumes[volume],), pools=self.pools))

    @staticmethod
    def _ref(entry: Publication) -> PublicationRef:
        order = entry.request
        return PublicationRef(
            volume=order.volume,
            node=order.node,
            number=entry.number,
            transport=order.transport,
            mode=order.mode,
            readonly=order.write_protected,
        )

    def _everything(self) -> Change:
        return Change(
            full=True,
            info=self.info,
            pools=self.pools,
            volumes=tuple(self.volumes.values()),
            snapshots=tuple(self.snapshots.values()),
            publications=tuple(map(self._ref, self.entries.values())),
            held=tuple((each, attachment.number) for each, attachment in self.held.items()),
            wanted=self.wanted,
        )


class Cluster:
    """A fleet of fake agents with one controller over it."""

    def __init__(self, *agents: FakeAgent, draw_copy: Callable[[], str] = ids.draw_copy, look: float = 0.5) -> None:
        self.agents = {agent.node: agent for agent in agents}
        self.fleet = Fleet([Member(agent.node, agent) for agent in agents], QUICK)
        self.context = Context(fleet=self.fleet, patience=Patience(look=look, release=0.1), draw_copy=draw_copy)
        self.controller = Controller(self.context)

    async def __aenter__(self) -> Self:
        await self.fleet.start()
        await self.fleet.wait_settled()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.controller.close()
        await self.fleet.stop()

    def __getitem__(self, node: str) -> FakeAgent:
        return self.agents[node]

    async def silence(self, node: str) -> None:
        self[node].go_silent()
        await until(lambda: not self.fleet.node(node).answering)

    def ready(self) -> list[Volume]:
        return [v for agent in self.agents.values() for v in agent.volumes.values() if v.content is Content.READY]


async def until(condition: Callable[[], bool]) -> None:
    """Returns when the condition holds; fails after some seconds."""
    async with asyncio.timeout(5):
        while not condition():  # whatever the condition is, nobody tells
            await asyncio.sleep(0.001)


MOUNT = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.MOUNT)
BLOCK = Capability(AccessMode.SINGLE_NODE_WRITER, AccessType.BLOCK)


async def made(cluster: Cluster, name: str = "v", *, on: str = "", capability: Capability = MOUNT) -> VolumeId:
    """A volume of 1 GiB, created by the controller on that node."""
    topology = Topology(preferred=(Segment.node(on),)) if on else Topology()
    request = CreateVolume(name=name, capabilities=(capability,), limits=Limits(GIB), topology=topology)
    volume = VolumeId.parse((await cluster.controller.create_volume(request)).id)
    assert volume is not None
    assert on in ("", cluster.fleet.locate(volume))
    return volume


async def unheard(cluster: Cluster, volume: VolumeId) -> None:
    """As if another controller had made the volume, and our inventory did not tell of it yet."""
    for agent in cluster.agents.values():
        agent.tell(Change(volumes_gone=(volume,)))
    await until(lambda: cluster.fleet.locate(volume) is None)
