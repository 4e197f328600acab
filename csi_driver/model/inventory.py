"""What an agent reports: who it is, what it holds, and how that changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from csi_driver.model.access import AccessMode
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.pool import Pool
from csi_driver.model.publication import Transport
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.volume import Volume

API_VERSION = (1, 1)
"""Of the Agent service. One minor apart works both ways; a missing verb is UNAVAILABLE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """One node's agent. ``segments`` are the topology labels of the node, the node key among them."""

    node: str
    boot_id: str
    initiator: str
    """The node's iSCSI initiator name, lower case; empty when the host has no open-iscsi."""
    portals: tuple[str, ...] = ()
    segments: Mapping[str, str] = field(default_factory=dict)
    api_version: tuple[int, int] = API_VERSION
    driver_version: str = ""
    max_volumes: int = 0
    """How many volumes the node may use at once; 0: no limit."""


@dataclass(frozen=True, slots=True, order=True)
class PublicationRef:
    """A publication as anyone may see it: no secret."""

    volume: VolumeId
    node: str
    number: int
    transport: Transport
    mode: AccessMode
    readonly: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One message of the inventory stream. A ``full`` one replaces all that was known of the agent."""

    full: bool = False
    info: AgentInfo | None = None
    pools: tuple[Pool, ...] | None = None
    volumes: tuple[Volume, ...] = ()
    volumes_gone: tuple[VolumeId, ...] = ()
    snapshots: tuple[Snapshot, ...] = ()
    snapshots_gone: tuple[SnapshotId, ...] = ()
    publications: tuple[PublicationRef, ...] = ()
    publications_gone: tuple[tuple[VolumeId, str], ...] = ()
    held: tuple[tuple[VolumeId, int], ...] | None = None
    """Publications, by volume and number, that this node as a consumer holds something of: a secret or a device.
    One that its storage node does not know any more is over, and the node is told so (``release``)."""
    wanted: tuple[VolumeId, ...] | None = None
    """Volumes whose CHAP secret this node, as a consumer, has lost: the controller sets new ones."""
