"""The journal: who may use which volume of this node. Durable before anything is exported (DESIGN 4).

A record a publication, named ``<volume>.<node as hex>``; JSON, mode 0600, as it holds the CHAP secret.
"""

from __future__ import annotations

import json
from typing import Any

from csi_driver.kit.state import Records
from csi_driver.model.access import AccessMode, AccessType, FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Publication, PublishRequest, Transport
from csi_driver.model.secret import Secret

CLEAN = "clean-stop"
"""The one record that is no publication."""


class Journal:
    """All publications of this agent: read once, then kept in memory and on disk alike."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._entries: dict[tuple[VolumeId, str], Publication] = {}
        self.clean_boot = ""
        """The last boot that ended with a clean stop of all exports: nothing that was acknowledged was lost in it."""
        for name, content in records.read().items():
            if name == CLEAN:
                self.clean_boot = json.loads(content)["boot"]
                continue
            publication = _decode(json.loads(content))
            self._entries[publication.volume, publication.node] = publication

    async def put(self, publication: Publication) -> None:
        """Write down, or replace; durable on return."""
        name = _name(publication.volume, publication.node)
        await self._records.put(name, json.dumps(_encode(publication)).encode())
        self._entries[publication.volume, publication.node] = publication

    async def remove(self, volume: VolumeId, node: str) -> None:
        """Strike out; durable on return."""
        await self._records.remove(_name(volume, node))
        self._entries.pop((volume, node), None)

    async def mark_clean(self, boot: str) -> None:
        """All exports of this boot were taken down and flushed; an empty ``boot``: that is over. Durable on return."""
        if boot:
            await self._records.put(CLEAN, json.dumps({"boot": boot}).encode())
        else:
            await self._records.remove(CLEAN)
        self.clean_boot = boot

    def get(self, volume: VolumeId, node: str) -> Publication | None:
        """The publication of a volume to a node, or None."""
        return self._entries.get((volume, node))

    def of(self, volume: VolumeId) -> tuple[Publication, ...]:
        """All publications of a volume."""
        return tuple(entry for entry in self._entries.values() if entry.volume == volume)

    def all(self) -> tuple[Publication, ...]:
        """All publications."""
        return tuple(self._entries.values())

    def volumes(self) -> tuple[VolumeId, ...]:
        """The volumes that are published, each once."""
        return tuple(dict.fromkeys(volume for volume, _ in self._entries))

    def next_number(self, now: float) -> int:
        """A number above all in use; from the clock (milliseconds), so that it grows over restarts as well."""
        highest = max((entry.number for entry in self._entries.values()), default=0)
        return max(highest + 1, int(now * 1000))


def _name(volume: VolumeId, node: str) -> str:
    return f"{volume}.{node.encode().hex()}"


def _encode(publication: Publication) -> dict[str, Any]:
    request = publication.request
    return {
        "volume": str(request.volume),
        "node": request.node,
        "transport": request.transport.value,
        "mode": int(request.mode),
        "access": request.access.value,
        "readonly": request.readonly,
        "initiator": request.initiator,
        "number": publication.number,
        "wrapper": publication.wrapper,
        "portals": list(publication.portals),
        "chap_user": publication.chap_user,
        "secret": publication.secret.reveal() if publication.secret else None,
        "fs": publication.fs.value if publication.fs else None,
        "size": publication.size,
        "boot": publication.boot,
        "unflushed": publication.unflushed,
    }


def _decode(entry: dict[str, Any]) -> Publication:
    volume = VolumeId.parse(entry["volume"])
    if volume is None:
        raise ValueError(f"journal names no volume: {entry['volume']!r}")
    return Publication(
        request=PublishRequest(
            volume=volume,
            node=entry["node"],
            transport=Transport(entry["transport"]),
            mode=AccessMode(entry["mode"]),
            access=AccessType(entry["access"]),
            readonly=entry["readonly"],
            initiator=entry["initiator"],
        ),
        number=entry["number"],
        # Entries of the first versions have none: only one node could use a volume, and the wrapper was its own.
        wrapper=entry.get("wrapper", entry["number"]),
        portals=tuple(entry["portals"]),
        chap_user=entry["chap_user"],
        secret=Secret(entry["secret"]) if entry["secret"] else None,
        fs=FsType(entry["fs"]) if entry["fs"] else None,
        size=entry["size"],
        boot=entry.get("boot", ""),
        unflushed=entry.get("unflushed", False),
    )
