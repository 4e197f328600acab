"""Stages: what is staged on this node and where, written down before it is begun and again when it is done.

NodeUnstageVolume and NodeExpandVolume are given no context (csi.md 1.1), and a stage that a crash cut short must be
found again: this is the record of both.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace

from csi_driver.kit.state import Records
from csi_driver.model.access import AccessType, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.parameters import REPLACEMENT_TIMEOUT
from csi_driver.model.publication import Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One volume staged on this node, or on the way to it. ``done`` says which."""

    volume: VolumeId
    number: int
    """Of the publication. What carries an earlier one's is dead, what carries a later one's is not ours to touch."""
    transport: Transport
    staging_path: str
    access: AccessType
    readonly: bool
    fs: FsType | None = None
    mount_flags: tuple[str, ...] = ()
    portals: tuple[str, ...] = ()
    size: int = 0
    """Bytes that the volume has at least: what was published, or more that was seen here. It never shrinks."""
    replacement_timeout: int = int(REPLACEMENT_TIMEOUT.default)
    """Seconds that I/O waits for a session that is down, over iSCSI."""
    done: bool = False

    @property
    def device(self) -> str:
        """The dm name of what is mounted: the owner's wrapper, or this node's own over the iSCSI disk."""
        return str(self.volume) if self.transport is Transport.LOCAL else self.volume.consumer_device

    @property
    def uuid(self) -> str:
        """The dm uuid that proves that it is the device of this publication."""
        if self.transport is Transport.LOCAL:
            return self.volume.wrapper_uuid(self.number)
        return self.volume.consumer_uuid(self.number)

    def same_use(self, other: Stage) -> bool:
        """Whether both use the volume in the same way at the same place.

        The access mode is left out: for a ReadWriteOnce volume Kubernetes asks with another one when a driver
        begins to offer SINGLE_NODE_MULTI_WRITER (csi.md 1.1), and the volume stays staged meanwhile.
        """
        return self._use() == other._use()

    def _use(self) -> tuple[object, ...]:
        return self.staging_path, self.access, self.readonly, self.fs, self.mount_flags


class Stages:
    """All stages of this node: read once, then kept in memory and on disk alike."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._stages: dict[VolumeId, Stage] = {}
        for name, content in records.read().items():
            stage = _decode(content)
            if stage is None:
                # Unstage works without one: it looks at what is there.
                log.error("stage record cannot be read and is left out", extra={"record": name})
            else:
                self._stages[stage.volume] = stage

    def get(self, volume: VolumeId) -> Stage | None:
        """The stage of a volume, begun or done, or None."""
        return self._stages.get(volume)

    def all(self) -> tuple[Stage, ...]:
        """Every stage, begun or done."""
        return tuple(self._stages.values())

    async def begin(self, stage: Stage) -> None:
        """Write down what is about to be made; durable on return."""
        await self._put(replace(stage, done=False))

    async def finish(self, stage: Stage) -> None:
        """Write down that all of it stands; durable on return."""
        await self._put(replace(stage, done=True))

    async def seen(self, volume: VolumeId, size: int) -> None:
        """Write down that the volume, if it is staged, has ``size`` bytes by now; durable on return."""
        stage = self._stages.get(volume)
        if stage is not None and stage.size < size:
            await self._put(replace(stage, size=size))

    async def remove(self, volume: VolumeId) -> None:
        """Strike out; durable on return, fine when there is none."""
        if volume in self._stages:
            await self._records.remove(str(volume))
            del self._stages[volume]

    async def _put(self, stage: Stage) -> None:
        if self._stages.get(stage.volume) != stage:
            await self._records.put(str(stage.volume), _encode(stage))
            self._stages[stage.volume] = stage


def _encode(stage: Stage) -> bytes:
    return json.dumps(
        {
            "volume": str(stage.volume),
            "number": stage.number,
            "transport": stage.transport.value,
            "staging_path": stage.staging_path,
            "access": stage.access.value,
            "readonly": stage.readonly,
            "fs": stage.fs.value if stage.fs else None,
            "mount_flags": list(stage.mount_flags),
            "portals": list(stage.portals),
            "size": stage.size,
            "replacement_timeout": stage.replacement_timeout,
            "done": stage.done,
            # For people who read the file; everything else is derived from the fields above.
            "iqn": stage.volume.iqn,
            "device": stage.device,
            "uuid": stage.uuid,
        }
    ).encode()


def _decode(content: bytes) -> Stage | None:
    try:
        entry = json.loads(content)
        volume = VolumeId.parse(entry["volume"])
        if volume is None:
            return None
        return Stage(
            volume=volume,
            number=int(entry["number"]),
            transport=Transport(entry["transport"]),
            staging_path=entry["staging_path"],
            access=AccessType(entry["access"]),
            readonly=bool(entry["readonly"]),
            fs=FsType(entry["fs"]) if entry["fs"] else None,
            mount_flags=tuple(entry["mount_flags"]),
            portals=tuple(entry["portals"]),
            size=int(entry.get("size", 0)),
            replacement_timeout=int(entry.get("replacement_timeout", REPLACEMENT_TIMEOUT.default)),
            done=bool(entry["done"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
