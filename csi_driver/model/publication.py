"""Who may use a volume, and how: the storage node's record, the consumer's, and what Kubernetes may see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from csi_driver.model.access import AccessMode, AccessType, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret


class Transport(StrEnum):
    """LOCAL: the wrapper over the LV itself. ISCSI: through a target, also on the storage node itself."""

    LOCAL = "local"
    ISCSI = "iscsi"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """An order to the storage node's agent: let ``node`` use the volume."""

    volume: VolumeId
    node: str
    transport: Transport
    mode: AccessMode
    access: AccessType
    readonly: bool = False
    initiator: str = ""
    """The iSCSI name of the consumer, lower case; empty for LOCAL."""
    new_secret: bool = False
    """Replace the CHAP secret in force: the consumer has lost it."""

    @property
    def write_protected(self) -> bool:
        """Read-only is enforced at the target for every reader-only mode, whatever ``readonly`` says."""
        return self.readonly or self.mode.reader_only


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """One line of the storage node's journal: this volume, for that node. Survives reboots."""

    request: PublishRequest
    number: int
    """Grows with every publication of this agent; part of the wrapper's dm uuid."""
    wrapper: int = 0
    """The number in the dm uuid of the volume's wrapper on the storage node: of the first of the publications that
    use it together. Not told to others."""
    portals: tuple[str, ...] = ()
    """``address:port`` of each, for ISCSI. May change when the storage node gets another address."""
    chap_user: str = ""
    secret: Secret | None = None
    fs: FsType | None = None
    size: int = 0
    boot: str = ""
    """The boot of the storage node in which it was last exported. Not told to others."""
    unflushed: bool = False
    """It went on over a crash of the storage node that may have taken writes which nobody had flushed."""

    @property
    def volume(self) -> VolumeId:
        """The volume published."""
        return self.request.volume

    @property
    def node(self) -> str:
        """The node that may use it."""
        return self.request.node


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """What a consumer needs to log in, the secret among it. Lies 0600 on the consumer's own disk."""

    volume: VolumeId
    number: int
    portals: tuple[str, ...]
    chap_user: str
    secret: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishContext:
    """What NodeStage is told through Kubernetes: world-readable, hence without any secret."""

    transport: Transport
    number: int
    readonly: bool
    portals: tuple[str, ...] = ()
    fs: FsType | None = None
    size: int = 0
    """Bytes of the volume when this was said: it may have grown since, and never shrinks. 0: not said."""

    def to_map(self) -> dict[str, str]:
        """As CSI ``publish_context``."""
        return {
            "transport": self.transport.value,
            "publication": str(self.number),
            "readonly": "true" if self.readonly else "false",
            "portals": ",".join(self.portals),
            "fs": self.fs.value if self.fs else "",
            "size": str(self.size),
        }

    @classmethod
    def from_map(cls, fields: Mapping[str, str]) -> PublishContext:
        """Inverse of ``to_map``. Raises KeyError or ValueError when the map is not one of ours."""
        return cls(
            transport=Transport(fields["transport"]),
            number=int(fields["publication"]),
            readonly=fields["readonly"] == "true",
            portals=tuple(filter(None, fields["portals"].split(","))),
            fs=FsType(fields["fs"]) if fields["fs"] else None,
            # An earlier version said nothing of it, and Kubernetes keeps what was said.
            size=int(fields.get("size", "0")),
        )

    @classmethod
    def of(cls, publication: Publication) -> PublishContext:
        """What may be told of a publication."""
        return cls(
            transport=publication.request.transport,
            number=publication.number,
            readonly=publication.request.write_protected,
            portals=publication.portals,
            fs=publication.fs,
            size=publication.size,
        )
