"""The consumer's half of the agent: what is published to this node is held, what is over is let go.

A publication that is over while it is in use was fenced. Its session can never come back, so the node ends the I/O
itself: applications see an error and not a hang until the replacement timeout (DESIGN 4). NodeUnstage takes the
rest away when it comes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from csi_driver.host.doors import DmDevice
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Attachment
from csi_driver.node import look
from csi_driver.node.context import NodeContext
from csi_driver.node.disconnect import end_io, has_session

log = logging.getLogger(__name__)


class Consumer:
    """What the agent passes on to this node as a consumer."""

    def __init__(self, context: NodeContext) -> None:
        self._context = context

    async def hold(self, attachment: Attachment) -> None:
        """See ``Attachments.hold``."""
        await self._context.attachments.hold(attachment)

    async def release(self, volume: VolumeId, number: int) -> None:
        """See ``AgentPort.release``. A job of the volume: Busy while it is staged or unstaged."""
        context = self._context
        await context.jobs.run(str(volume), "release", number, lambda: release(context, volume, number))

    async def refers(self, device: DmDevice) -> bool:
        """See ``look.refers``."""
        return await look.refers(self._context, device)

    def held(self) -> tuple[tuple[VolumeId, int], ...]:
        """See ``Attachments.held``."""
        return self._context.attachments.held()

    def wanted(self) -> tuple[VolumeId, ...]:
        """See ``Attachments.wanted``."""
        return self._context.attachments.wanted()

    def on_change(self, told: Callable[[], None]) -> None:
        """Call ``told`` after each change of what is held or wanted."""
        self._context.attachments.on_change(told)


async def release(context: NodeContext, volume: VolumeId, number: int) -> None:
    """Nothing of publications up to ``number`` can be read or written here any more; their secret is forgotten."""
    owns = await look.devices(context.doors.dm, volume)
    later = any(own.consumer and own.number > number for own in owns)
    for own in owns:
        if own.consumer and own.number <= number and await has_session(context, volume) and not later:
            log.warning("fenced: I/O is ended", extra={"volume": str(volume), "publication": number})
            await end_io(context, volume, own)
    # The secret last: as long as it is held, the controller will tell us again.
    await context.attachments.release(volume, number)
