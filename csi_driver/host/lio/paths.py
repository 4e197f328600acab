"""Where the parts of an export lie in configfs, relative to its ``target`` folder.

All are computed from the volume's id. Each volume has a host bus adapter (the folder above a backstore) of its own:
creates never meet in one, and the removal of a backstore that hangs behind a dead disk locks only its own.
"""

from __future__ import annotations

from enum import StrEnum

from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import WriteCache

FABRIC = "iscsi"
LINK = "backstore"
MAPPED_LINK = "lun"


class Kind(StrEnum):
    """Of backstores: what is done with a write. A volume has one of one kind for ever."""

    FILEIO = "fileio"
    IBLOCK = "iblock"


def kind_of(cache: WriteCache) -> Kind:
    """The kind of backstore that treats writes so."""
    return Kind.FILEIO if cache is WriteCache.THROUGH else Kind.IBLOCK


def adapter(volume: VolumeId, kind: Kind = Kind.FILEIO) -> str:
    """The host bus adapter: numbered by 28 bits of the serial. Two volumes that meet there do no harm."""
    return f"core/{kind}_{int(volume.serial[:7], 16)}"


def backstore(volume: VolumeId, kind: Kind = Kind.FILEIO) -> str:
    """The storage object."""
    return f"{adapter(volume, kind)}/{volume}"


def target(volume: VolumeId) -> str:
    """The target, by its IQN."""
    return f"{FABRIC}/{volume.iqn}"


def group(volume: VolumeId) -> str:
    """Its one portal group."""
    return f"{target(volume)}/tpgt_1"


def lun(volume: VolumeId) -> str:
    """Its one LUN, number 0."""
    return f"{group(volume)}/lun/lun_0"


def portals(volume: VolumeId) -> str:
    """The folder of its portals."""
    return f"{group(volume)}/np"


def acls(volume: VolumeId) -> str:
    """The folder of its access control entries."""
    return f"{group(volume)}/acls"


def acl(volume: VolumeId, initiator: str) -> str:
    """The entry of one initiator. The kernel compares with the name in lower case (RFC 3722)."""
    return f"{acls(volume)}/{initiator.lower()}"
