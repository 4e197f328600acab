"""Names of volumes and snapshots: how they are made and what is derived from them.

A volume's id is ``vol-<key>-<copy>``. The key is a hash of the CSI name, so that a name is found again without
a table; the copy is drawn anew each time the name is placed, so that a name used again never meets an old
logical volume, target or serial (DESIGN 3).
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass

KEY_LENGTH = 26
COPY_LENGTH = 8
IQN_PREFIX = "iqn.2026-11.io.clinker:"
DM_UUID_PREFIX = "CLINKER-"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_TAIL = rf"([a-z2-7]{{{KEY_LENGTH}}})-([a-z2-7]{{{COPY_LENGTH}}})"
_ID = re.compile(f"vol-{_TAIL}")
_SNAPSHOT = re.compile(f"snap-{_TAIL}")


def volume_key(name: str) -> str:
    """The key of a CSI name, of a volume or of a snapshot: 26 base32 characters (130 bits) of its SHA-256."""
    digest = hashlib.sha256(name.encode()).digest()
    return base64.b32encode(digest).decode().lower()[:KEY_LENGTH]


def draw_copy() -> str:
    """A fresh incarnation: 8 random base32 characters."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(COPY_LENGTH))


@dataclass(frozen=True, slots=True, order=True)
class VolumeId:
    """One logical volume, for ever. Its text is the LV name, the dm name and the tail of the IQN."""

    key: str
    copy: str

    def __str__(self) -> str:
        return f"vol-{self.key}-{self.copy}"

    @classmethod
    def parse(cls, text: str) -> VolumeId | None:
        """The id that ``text`` spells, or None: an id of unknown form names nothing (CSI spec, errors)."""
        match = _ID.fullmatch(text)
        return cls(match[1], match[2]) if match else None

    @property
    def iqn(self) -> str:
        """The one target that ever exports this volume."""
        return f"{IQN_PREFIX}{self}"

    @property
    def serial(self) -> str:
        """The SCSI unit serial: LIO builds the NAA name from its hex digits (mechanisms.md 6)."""
        return hashlib.sha256(str(self).encode()).hexdigest()[:32]

    @property
    def naa(self) -> str:
        """The NAA name that the kernel's target derives from the serial: LIO's company id, then 25 digits."""
        return f"6001405{self.serial[:25]}"

    def wrapper_uuid(self, number: int) -> str:
        """The dm uuid of the wrapper that publication ``number`` made over the LV on the storage node."""
        return f"{DM_UUID_PREFIX}{self}-{number}"

    def consumer_uuid(self, number: int) -> str:
        """The dm uuid of the consumer's device over the iSCSI disk of publication ``number``."""
        return f"{DM_UUID_PREFIX}{self}-{number}-iscsi"

    @property
    def consumer_device(self) -> str:
        """The dm name on an iSCSI consumer; differs from the owner's wrapper, as an owner may consume too."""
        return f"{self}-iscsi"


@dataclass(frozen=True, slots=True, order=True)
class SnapshotId:
    """One snapshot, for ever; made as a volume's id is. Its text is the LV name."""

    key: str
    copy: str

    def __str__(self) -> str:
        return f"snap-{self.key}-{self.copy}"

    @classmethod
    def parse(cls, text: str) -> SnapshotId | None:
        """The id that ``text`` spells, or None: an id of unknown form names nothing (CSI spec, errors)."""
        match = _SNAPSHOT.fullmatch(text)
        return cls(match[1], match[2]) if match else None


SourceId = VolumeId | SnapshotId
"""What a volume may be made from."""


def parse_source(text: str) -> SourceId | None:
    """The volume or the snapshot that ``text`` names, or None."""
    return VolumeId.parse(text) or SnapshotId.parse(text)
