"""What is known of one node: an immutable picture, and how a message of its agent changes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.topology import NODE_KEY
from csi_driver.model.volume import Content, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node as its agent last told. When it is silent everything but the silence is the last that was heard."""

    name: str
    silence: str = "has not been heard yet"
    """Why the node does not answer, in words; empty when it does."""
    withheld: str = ""
    """Why the operator wants nothing new to be made there, in words; empty when it may."""
    info: AgentInfo | None = None
    pools: tuple[Pool, ...] = ()
    volumes: Mapping[VolumeId, Volume] = field(default_factory=dict)
    snapshots: Mapping[SnapshotId, Snapshot] = field(default_factory=dict)
    publications: Mapping[tuple[VolumeId, str], PublicationRef] = field(default_factory=dict)
    held: Mapping[VolumeId, int] = field(default_factory=dict)
    """As a consumer: the number of the publication that it holds something of, by volume."""
    wanted: frozenset[VolumeId] = frozenset()
    gone: frozenset[VolumeId | SnapshotId] = frozenset()
    """What a verb of ours saw go and the inventory has not yet told of; an id never comes twice."""
    ended: Mapping[tuple[VolumeId, str], int] = field(default_factory=dict)
    """The same of publications, by the number that ended."""

    @property
    def answering(self) -> bool:
        """Whether the agent was heard and has not fallen silent since."""
        return not self.silence

    @property
    def labels(self) -> Mapping[str, str]:
        """The node's topology labels. The node's own is there even before the agent was heard."""
        told = self.info.segments if self.info else {}
        return {**told, NODE_KEY: self.name}

    @property
    def initiator(self) -> str:
        """Its iSCSI initiator name, or empty."""
        return self.info.initiator if self.info else ""

    @property
    def portals(self) -> tuple[str, ...]:
        """Where its targets are reached, or nothing."""
        return self.info.portals if self.info else ()

    def ready(self) -> tuple[Volume, ...]:
        """Its finished volumes: claims are nobody's business but CreateVolume's."""
        return tuple(volume for volume in self.volumes.values() if volume.content is Content.READY)

    def consumers(self, volume: VolumeId) -> tuple[str, ...]:
        """The nodes to which this volume is published, sorted."""
        return tuple(sorted(node for each, node in self.publications if each == volume))


def apply(state: NodeState, change: Change) -> NodeState:
    """The picture after a message. A full one replaces everything.

    A message may be older than what the answer to a verb has told us since. So a volume that was finished is no claim
    again and none becomes smaller; and what was seen to go does not come back before the agent has said so itself.
    """
    base = NodeState(name=state.name, withheld=state.withheld, info=state.info) if change.full else state
    volumes, publications = dict(base.volumes), dict(base.publications)
    snapshots = {**base.snapshots, **{each.id: each for each in change.snapshots if each.id not in base.gone}}
    gone, ended = set(base.gone), dict(base.ended)
    for volume in change.volumes:
        if volume.id not in gone:
            volumes[volume.id] = _newer(volumes.get(volume.id), volume)
    for ref in change.publications:
        if ref.number > ended.get((ref.volume, ref.node), -1):
            publications[ref.volume, ref.node] = ref
    for identity in change.volumes_gone:
        volumes.pop(identity, None)
        gone.discard(identity)
    for snapshot in change.snapshots_gone:
        snapshots.pop(snapshot, None)
        gone.discard(snapshot)
    for key in change.publications_gone:
        publications.pop(key, None)
        ended.pop(key, None)
    return replace(
        base,
        silence="",
        info=change.info or base.info,
        pools=base.pools if change.pools is None else change.pools,
        volumes=volumes,
        snapshots=snapshots,
        publications=publications,
        held=base.held if change.held is None else dict(change.held),
        wanted=base.wanted if change.wanted is None else frozenset(change.wanted),
        gone=frozenset(gone),
        ended=ended,
    )


def without_volume(state: NodeState, volume: VolumeId) -> NodeState:
    """The picture after its agent answered that the volume is gone, with all its publications."""
    if volume not in state.volumes:
        return state
    for each, node in tuple(state.publications):
        if each == volume:
            state = without_publication(state, volume, node)
    volumes = {identity: each for identity, each in state.volumes.items() if identity != volume}
    return replace(state, volumes=volumes, gone=state.gone | {volume})


def without_snapshot(state: NodeState, snapshot: SnapshotId) -> NodeState:
    """The picture after its agent answered that the snapshot is gone."""
    if snapshot not in state.snapshots:
        return state
    snapshots = {identity: each for identity, each in state.snapshots.items() if identity != snapshot}
    return replace(state, snapshots=snapshots, gone=state.gone | {snapshot})


def without_publication(state: NodeState, volume: VolumeId, node: str) -> NodeState:
    """The picture after its agent answered that this publication has ended."""
    ref = state.publications.get((volume, node))
    if ref is None:
        return state
    publications = {key: each for key, each in state.publications.items() if each is not ref}
    return replace(state, publications=publications, ended={**state.ended, (volume, node): ref.number})


def _newer(known: Volume | None, told: Volume) -> Volume:
    if known is None:
        return told
    back = known.content is Content.READY and told.content is Content.CLAIMED
    return known if back or told.size < known.size else told
