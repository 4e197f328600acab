"""Taking down what a stage has made, finished or not; shared by unstage and by a stage that has to begin anew."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from functools import partial

from csi_driver.errors import Busy, Precondition
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Transport
from csi_driver.node import look
from csi_driver.node.connect import is_still
from csi_driver.node.context import NodeContext
from csi_driver.node.disconnect import detach, end_io, has_session, patiently
from csi_driver.node.look import Own
from csi_driver.node.stages import Stage

log = logging.getLogger(__name__)

ANY = sys.maxsize
"""Above every publication number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is to go: everything of the volume that publications up to ``upto`` have left on this node.

    ``stage`` is the record of it, if there is one. ``forget``: the publication is used up, its secret goes as well.
    """

    volume: VolumeId
    staging_path: str
    upto: int = ANY
    stage: Stage | None = None
    forget: bool = False


async def take_down(context: NodeContext, remains: Remains) -> None:
    """Unmount, and take away the device, the session and the records, in the order that a repeat can follow.

    Precondition, with nothing changed, while the volume is still published or when something else is mounted at
    the staging path; Busy while someone uses it.
    """
    volume = remains.volume
    everything = await look.devices(context.doors.dm, volume)
    owns = tuple(own for own in everything if own.number <= remains.upto)
    await _check_unpublished(context, remains, owns)
    least = remains.stage.size if remains.stage else 0
    if not await is_still(context, volume, owns, least):
        log.error("the disk is not the volume any more: nothing more is written", extra={"volume": str(volume)})
        await end_io(context, volume, next(own for own in owns if own.consumer))
    await unmount_staging(context, volume, remains.staging_path, owns)
    # All publications share one target: its session is left to a later one that has a device over it.
    later = any(own.consumer for own in everything if own not in owns)
    if not later and await _is_remote(context, remains, owns):
        await detach(context, volume, owns)
    if remains.forget:
        await context.attachments.forget(volume, upto=remains.upto)
    # The record last: as long as it stands, a repeat finds everything that is left.
    await context.stages.remove(volume)
    log.info("unstaged", extra={"volume": str(volume), "path": remains.staging_path})


async def _check_unpublished(context: NodeContext, remains: Remains, owns: tuple[Own, ...]) -> None:
    """A device number is given out anew: a bind that outlived its device could show another volume (failures.md I7)."""
    table = await context.doors.mounts.table()
    for own in owns:
        for mount in await look.shown(context, table, own, remains.staging_path):
            raise Precondition(f"volume {remains.volume} is still published at {mount.target}; unpublish it first")


async def unmount_staging(context: NodeContext, volume: VolumeId, path: str, owns: tuple[Own, ...]) -> None:
    """Unmount the volume from its staging path; fine when nothing is mounted there."""
    while (mount := look.on_top(await context.doors.mounts.table(), path)) is not None:
        if mount.devno not in [own.devno for own in owns]:
            raise Precondition(f"{path}: what is mounted there is not volume {volume}; it is left alone")
        try:
            if any(own.consumer for own in owns):
                await patiently(context, volume, owns, partial(context.doors.mounts.unmount, path))
            else:
                await context.doors.mounts.unmount(path)
        except Busy as error:
            raise Busy(f"volume {volume}: {path} is in use on this node: {error}") from error


async def _is_remote(context: NodeContext, remains: Remains, owns: tuple[Own, ...]) -> bool:
    """Whether there is anything of iSCSI to take away: known by the record, or seen when the record was lost."""
    if remains.stage is not None and remains.stage.transport is Transport.ISCSI:
        return True
    return any(own.consumer for own in owns) or await has_session(context, remains.volume)
