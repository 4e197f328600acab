"""The agent's own picture of what it holds, and the streams that tell controllers how it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool
from csi_driver.model.publication import Publication
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.volume import Volume

BACKLOG = 1000
"""Changes a slow watcher may lag behind; then its stream ends and it begins again with a full one."""


class Picture:
    """Holds pools, volumes, snapshots and publications; every change reaches every watcher, in order."""

    def __init__(self) -> None:
        self._info: AgentInfo | None = None
        self._pools: tuple[Pool, ...] = ()
        self._volumes: dict[VolumeId, Volume] = {}
        self._snapshots: dict[SnapshotId, Snapshot] = {}
        self._publications: dict[tuple[VolumeId, str], PublicationRef] = {}
        self._held: tuple[tuple[VolumeId, int], ...] = ()
        self._wanted: tuple[VolumeId, ...] = ()
        self._watchers: set[asyncio.Queue[Change | None]] = set()
        self._touched: set[VolumeId | SnapshotId] = set()

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools as last seen."""
        return self._pools

    @property
    def volumes(self) -> tuple[Volume, ...]:
        """The volumes as last seen."""
        return tuple(self._volumes.values())

    def set_info(self, info: AgentInfo) -> None:
        """Who we are."""
        if info != self._info:
            self._info = info
            self._tell(Change(info=info))

    def set_pools(self, pools: tuple[Pool, ...]) -> None:
        """What room there is."""
        if pools != self._pools:
            self._pools = pools
            self._tell(Change(pools=pools))

    def begin_look(self) -> None:
        """A look at everything begins: what a verb changes from now on is newer than what the look will bring."""
        self._touched = set()

    def set_volumes(self, volumes: tuple[Volume, ...]) -> None:
        """All volumes, as the look that ``begin_look`` announced found them."""
        new = {volume.id: volume for volume in volumes if volume.id not in self._touched}
        new |= {identity: volume for identity, volume in self._volumes.items() if identity in self._touched}
        volumes = tuple(new.values())
        changed = tuple(volume for volume in volumes if self._volumes.get(volume.id) != volume)
        gone = tuple(identity for identity in self._volumes if identity not in new)
        self._volumes = new
        if changed or gone:
            self._tell(Change(volumes=changed, volumes_gone=gone))

    def put_volume(self, volume: Volume) -> None:
        """One volume, after a verb changed it."""
        self._touched.add(volume.id)
        if self._volumes.get(volume.id) != volume:
            self._volumes[volume.id] = volume
            self._tell(Change(volumes=(volume,)))

    def drop_volume(self, volume: VolumeId) -> None:
        """A volume that is gone."""
        self._touched.add(volume)
        if self._volumes.pop(volume, None) is not None:
            self._tell(Change(volumes_gone=(volume,)))

    def set_snapshots(self, snapshots: tuple[Snapshot, ...]) -> None:
        """All snapshots, likewise."""
        new = {each.id: each for each in snapshots if each.id not in self._touched}
        new |= {identity: each for identity, each in self._snapshots.items() if identity in self._touched}
        changed = tuple(each for each in new.values() if self._snapshots.get(each.id) != each)
        gone = tuple(identity for identity in self._snapshots if identity not in new)
        self._snapshots = new
        if changed or gone:
            self._tell(Change(snapshots=changed, snapshots_gone=gone))

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """One snapshot that is there."""
        self._touched.add(snapshot.id)
        if self._snapshots.get(snapshot.id) != snapshot:
            self._snapshots[snapshot.id] = snapshot
            self._tell(Change(snapshots=(snapshot,)))

    def drop_snapshot(self, snapshot: SnapshotId) -> None:
        """A snapshot that is gone."""
        self._touched.add(snapshot)
        if self._snapshots.pop(snapshot, None) is not None:
            self._tell(Change(snapshots_gone=(snapshot,)))

    def put_publication(self, publication: Publication) -> None:
        """A publication that stands in the journal."""
        ref = reference(publication)
        if self._publications.get((ref.volume, ref.node)) != ref:
            self._publications[ref.volume, ref.node] = ref
            self._tell(Change(publications=(ref,)))

    def drop_publication(self, volume: VolumeId, node: str) -> None:
        """A publication that was struck out."""
        if self._publications.pop((volume, node), None) is not None:
            self._tell(Change(publications_gone=((volume, node),)))

    def set_consumer(self, held: tuple[tuple[VolumeId, int], ...], wanted: tuple[VolumeId, ...]) -> None:
        """What this node holds as a consumer, and the volumes whose secret it has lost."""
        if (held, wanted) != (self._held, self._wanted):
            self._held, self._wanted = held, wanted
            self._tell(Change(held=held, wanted=wanted))

    async def watch(self) -> AsyncIterator[Change]:
        """One full change, then each as it happens; ends when the watcher lags too far behind."""
        queue: asyncio.Queue[Change | None] = asyncio.Queue()
        self._watchers.add(queue)
        try:
            yield self._everything()
            while (change := await queue.get()) is not None:
                yield change
        finally:
            self._watchers.discard(queue)

    def _everything(self) -> Change:
        return Change(
            full=True,
            info=self._info,
            pools=self._pools,
            volumes=tuple(self._volumes.values()),
            snapshots=tuple(self._snapshots.values()),
            publications=tuple(self._publications.values()),
            held=self._held,
            wanted=self._wanted,
        )

    def _tell(self, change: Change) -> None:
        for queue in tuple(self._watchers):
            if queue.qsize() >= BACKLOG:
                self._watchers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(change)


def reference(publication: Publication) -> PublicationRef:
    """What anyone may see of a publication."""
    request = publication.request
    return PublicationRef(
        volume=request.volume,
        node=request.node,
        number=publication.number,
        transport=request.transport,
        mode=request.mode,
        readonly=request.write_protected,
    )
