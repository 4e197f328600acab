"""What is known of one node: an immutable picture, and how a message of its agent changes it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from csi_driver.model.ids import VolumeId
from csi_driver.model.inventory import AgentInfo, Change, PublicationRef
from csi_driver.model.pool import Pool
from csi_driver.model.topology import NODE_KEY
from csi_driver.model.volume import Content, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node as its agent last told. When it is silent everything but the silence is the last that was heard."""

    name: str
    silence: str = "has not been heard yet"
    """Why the node does not answer, in words; empty when it does."""
    info: AgentInfo | None = None
    pools: tuple[Pool, ...] = ()
    volumes: Mapping[VolumeId, Volume] = field(default_factory=dict)
    publications: Mapping[tuple[VolumeId, str], PublicationRef] = field(default_factory=dict)
    wanted: frozenset[VolumeId] = frozenset()

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
    """The picture after a message. A full one replaces everything."""
    base = NodeState(name=state.name, info=state.info) if change.full else state
    volumes = {**base.volumes, **{volume.id: volume for volume in change.volumes}}
    publications = {**base.publications, **{(ref.volume, ref.node): ref for ref in change.publications}}
    for volume in change.volumes_gone:
        volumes.pop(volume, None)
    for key in change.publications_gone:
        publications.pop(key, None)
    return replace(
        base,
        silence="",
        info=change.info or base.info,
        pools=base.pools if change.pools is None else change.pools,
        volumes=volumes,
        publications=publications,
        wanted=base.wanted if change.wanted is None else frozenset(change.wanted),
    )
