"""What this node needs to log in: the CHAP secret of each volume published to it, in memory and on disk (DESIGN 4).

The storage side sends it (``hold``) before ControllerPublishVolume answers, and takes it back (``release``). When a
stage finds it missing, as after a new installation of the host, it is *wanted*: the controller sees that in this
node's inventory and sets a new secret at both ends.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from csi_driver.errors import Precondition
from csi_driver.host.doors import Initiator
from csi_driver.kit.state import Records
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Attachment
from csi_driver.model.secret import Secret

log = logging.getLogger(__name__)


class Attachments:
    """All attachments of this node: read once, then kept in memory and on disk alike."""

    def __init__(self, records: Records, initiator: Initiator) -> None:
        self._records, self._initiator = records, initiator
        self._held: dict[VolumeId, Attachment] = {}
        self._wanted: set[VolumeId] = set()
        self._callbacks: list[Callable[[], None]] = []
        self._one_by_one = asyncio.Lock()
        for name, content in records.read().items():
            attachment = _decode(content)
            if attachment is None:
                # The secret it held is asked for again when it is needed.
                log.error("attachment cannot be read and is left out", extra={"record": name})
            else:
                self._held[attachment.volume] = attachment

    def get(self, volume: VolumeId) -> Attachment | None:
        """What is held for the volume, or None."""
        return self._held.get(volume)

    async def hold(self, attachment: Attachment) -> None:
        """Keep it, durable on return. It replaces one of the same or of an earlier publication.

        Precondition when a later publication's is held: an order that was under way for long must not bring a
        dead secret back.
        """
        volume = attachment.volume
        async with self._one_by_one:
            held = self._held.get(volume)
            if held is not None and held.number > attachment.number:
                raise Precondition(
                    f"volume {volume}: publication {held.number} is held on this node, which is later than "
                    f"{attachment.number}"
                )
            if held != attachment:
                await self._records.put(str(volume), _encode(attachment))
                self._held[volume] = attachment
                self._tell()
        self._set_wanted(volume, wanted=False)

    async def release(self, volume: VolumeId, number: int) -> None:
        """Publications up to ``number`` are over: forget their secret; fine when none is held.

        open-iscsi's record goes too, unless a session lives on it: then unstage removes it with the session.
        """
        self._set_wanted(volume, wanted=False)
        held = self._held.get(volume)
        if held is None or held.number > number:
            return
        # The record first: it is found again as long as the attachment is there.
        if not any(session.iqn == volume.iqn for session in await self._initiator.sessions()):
            await self._initiator.remove_record(volume.iqn)
        await self.forget(volume, upto=held.number)

    async def forget(self, volume: VolumeId, *, upto: int) -> None:
        """Forget what is held if it is of publication ``upto`` or of an earlier one."""
        async with self._one_by_one:
            held = self._held.get(volume)
            if held is not None and held.number <= upto:
                await self._records.remove(str(volume))
                del self._held[volume]
                self._tell()

    def want(self, volume: VolumeId) -> None:
        """A stage cannot log in with what is held."""
        self._set_wanted(volume, wanted=True)

    def wanted(self) -> tuple[VolumeId, ...]:
        """Volumes whose stage waits for a secret, sorted."""
        return tuple(sorted(self._wanted))

    def held(self) -> tuple[tuple[VolumeId, int], ...]:
        """Volume and publication number of everything held, sorted."""
        return tuple(sorted((volume, attachment.number) for volume, attachment in self._held.items()))

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` after each change of ``held`` or ``wanted``."""
        self._callbacks.append(callback)

    def _set_wanted(self, volume: VolumeId, *, wanted: bool) -> None:
        if wanted == (volume in self._wanted):
            return
        if wanted:
            self._wanted.add(volume)
        else:
            self._wanted.remove(volume)
        self._tell()

    def _tell(self) -> None:
        for callback in self._callbacks:
            callback()


def _encode(attachment: Attachment) -> bytes:
    return json.dumps(
        {
            "volume": str(attachment.volume),
            "number": attachment.number,
            "portals": list(attachment.portals),
            "chap_user": attachment.chap_user,
            "secret": attachment.secret.reveal(),
        }
    ).encode()


def _decode(content: bytes) -> Attachment | None:
    """The attachment, or None: nothing of the content may reach a log, so no error carries it."""
    try:
        entry = json.loads(content)
        volume = VolumeId.parse(entry["volume"])
        if volume is None:
            return None
        return Attachment(
            volume=volume,
            number=int(entry["number"]),
            portals=tuple(entry["portals"]),
            chap_user=entry["chap_user"],
            secret=Secret(entry["secret"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
