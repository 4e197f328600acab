"""What a volume is: the order that makes it, and the fact that stands on disk."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from csi_driver.model.access import AccessType, FsType
from csi_driver.model.ids import SourceId, VolumeId


class Layout(StrEnum):
    """How the bytes lie: in a thin pool, or as extents of the volume group, on one disk or spread over several."""

    THIN = "thin"
    THICK = "thick"
    STRIPED = "striped"
    """Thick, in stripes over several disks: as fast as all of them, lost with any of them."""
    RAID1 = "raid1"
    """Thick, the same on two disks."""
    RAID10 = "raid10"
    """Thick, in stripes, each on two disks."""


class Wipe(StrEnum):
    """When the bytes of a volume that is not thin are overwritten. All are cleared before they are given out."""

    CREATE = "create"
    """Then only: until the room is used again, a deleted volume's bytes lie on the disk, where no volume shows them."""
    DELETE = "delete"
    """Before the room is given back as well."""


class WriteCache(StrEnum):
    """How the exported volume treats a write (DESIGN 4, "Unflushed writes").

    ``THROUGH`` flushes before each acknowledgement: a crash of the storage node loses nothing that was acknowledged.
    The others flush when the consumer asks for it, as a disk does, and such a crash may lose what nobody had flushed.
    ``BACK`` ends its publications then: consumers see errors, and what is published and staged anew begins at the last
    flush. ``BACK_RESUME`` goes on over the loss and says so (class parameter ``afterStorageCrash``).
    """

    THROUGH = "through"
    BACK = "back"
    BACK_RESUME = "back-resume"


class Content(StrEnum):
    """How far a volume's making has come. Only a READY one may be published."""

    CLAIMED = "claimed"
    POPULATING = "populating"
    READY = "ready"
    DELETING = "deleting"
    """Its bytes are being overwritten: it is of no use to anyone and can only be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeSpec:
    """An order to an agent: make this volume in that pool. ``size`` is bytes; the agent rounds up to extents."""

    id: VolumeId
    name: str
    size: int
    pool: str
    layout: Layout = Layout.THIN
    fs: FsType | None = None
    """The file system to make, once, at creation; None for a raw block volume."""
    mkfs_options: tuple[str, ...] = ()
    write_cache: WriteCache = WriteCache.THROUGH
    wipe: Wipe = Wipe.CREATE
    params_hash: str = ""
    """Of the class parameters that made it: a retry with others is another request (ALREADY_EXISTS)."""
    pvc_namespace: str = ""
    pvc_name: str = ""
    source: SourceId | None = None
    """The snapshot or volume whose content it begins with, its file system too; None: it begins empty."""

    @property
    def access(self) -> AccessType:
        """How the volume can be used: block when no file system was asked for."""
        return AccessType.BLOCK if self.fs is None else AccessType.MOUNT


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume(VolumeSpec):
    """A volume as its tags and LVM describe it. ``size`` is the real one, ``created`` Unix seconds."""

    node: str
    vg: str
    content: Content
    formatted: bool = False
    """Set, durably, when the file system was made. Until then a mount volume cannot leave CLAIMED."""
    created: int = 0
    condition: str = ""
    """What is wrong with it although it can be used, in words: a lost leg, legs that are not alike yet."""


@dataclass(frozen=True, slots=True)
class Limits:
    """A CSI ``capacity_range`` in bytes; None where the caller set no bound."""

    required: int | None = None
    limit: int | None = None

    def admits(self, size: int) -> bool:
        """Whether a volume of ``size`` bytes satisfies the range."""
        return size >= (self.required or 0) and (self.limit is None or size <= self.limit)
