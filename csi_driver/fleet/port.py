"""What the controller may ask of one agent. Implemented by ``rpc`` over mTLS and by the agent itself in-process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.publication import Attachment, Publication, PublishRequest
from csi_driver.model.snapshot import Snapshot, SnapshotSpec
from csi_driver.model.volume import Volume, VolumeSpec
from csi_driver.settings import PoolSettings


class AgentPort(Protocol):
    """One node's agent. Every verb may be repeated; each raises Unavailable when the agent does not answer,
    StillWorking when it has not finished by the caller's deadline, Busy when other work on the volume runs.
    """

    async def describe(self) -> AgentInfo:
        """Who the agent is, now."""
        ...

    def watch(self) -> AsyncIterator[Change]:
        """The inventory: one full change at once, then each change as it happens, for ever."""
        ...

    # -- where the disks are

    async def choose_pools(self, pools: tuple[PoolSettings, ...]) -> None:
        """These pools, and no others, are offered there from now on, durable on return; the same choice again changes
        nothing. No pool's volumes are touched, and those of a pool that is offered no more stay what they are.

        InvalidRequest when two of them have one name or one volume group, or a setting that the agent does not know.
        """
        ...

    async def find(self, key: str) -> tuple[Volume, ...]:
        """Every volume of the name with this key, claimed or committed, read from LVM now."""
        ...

    async def claim(self, spec: VolumeSpec) -> Volume:
        """Make the volume, its file system too, with content CLAIMED; the same claim again finds it.

        NoCapacity when the pool has no room under its lock, NotFound when there is no such pool or its source is not
        in it, Incompatible when the id exists with other properties, InvalidRequest and OutOfRange when its source is
        of another kind or larger.
        """
        ...

    async def commit(self, volume: VolumeId) -> Volume:
        """Turn a claim into a READY volume; a READY one stays as it is. NotFound when it is not there."""
        ...

    async def drop(self, volume: VolumeId) -> None:
        """Remove what is still a claim; fine when absent. Precondition when it is committed."""
        ...

    async def get(self, volume: VolumeId) -> Volume:
        """The volume, read now. NotFound."""
        ...

    async def delete(self, volume: VolumeId) -> None:
        """Remove the volume; fine when absent. Precondition while it is published, naming the node."""
        ...

    async def extend(self, volume: VolumeId, size: int) -> Volume:
        """Grow to at least ``size`` bytes; fine when it is as large. OutOfRange when the pool has no room."""
        ...

    async def publish(self, request: PublishRequest) -> Publication:
        """Let a node use it; the same request again returns the publication in force, with its secret.

        NotFound; Precondition when another node holds it, naming it, or when it is not READY; Incompatible
        when the same node holds it in another way.
        """
        ...

    async def unpublish(self, volume: VolumeId, node: str) -> int:
        """The fence: on return that node can no longer reach the volume and nothing of it is in flight.

        Fine when it was not published to it. Works without the node, which may be dead. The answer is the number
        of the publication that ended, or 0 when there was none.
        """
        ...

    async def publications(self, volume: VolumeId) -> tuple[PublicationRef, ...]:
        """Who may use the volume, by the journal, now; nobody when it is not here."""
        ...

    async def cut(self, spec: SnapshotSpec) -> Snapshot:
        """The snapshot of this name, cut now if there is none yet, of a volume that is here, in use or not.

        NotFound when the volume is not here; Incompatible when the name belongs to a snapshot of another volume;
        InvalidRequest when it is thick; NoCapacity when the pool has no room.
        """
        ...

    async def find_snapshots(self, key: str) -> tuple[Snapshot, ...]:
        """Every snapshot of the name with this key, read now."""
        ...

    async def get_snapshot(self, identity: SnapshotId) -> Snapshot:
        """The snapshot, read now. NotFound."""
        ...

    async def delete_snapshot(self, identity: SnapshotId) -> None:
        """Remove the snapshot; fine when absent. What was made from it, and its source, stay."""
        ...

    # -- where the pods are

    async def hold(self, attachment: Attachment) -> None:
        """Keep what this node needs to log in, durable on return."""
        ...

    async def release(self, volume: VolumeId, number: int) -> None:
        """Publications up to ``number`` are over: forget what was held, end the I/O of what is still in use.

        Fine when there is nothing. Whoever still uses the volume here gets errors from now on, and no hang.
        """
        ...
