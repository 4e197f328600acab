"""From a publication to a device of ours on this node: the owner's wrapper, or a session with a wrapper over its disk.

Each step looks first. The disk is proven, by what it answers itself, to be the volume before anything lies over it
(failures.md D2).
"""

from __future__ import annotations

import asyncio
import logging

from csi_driver.errors import Denied, InternalError, NotFound, Precondition, Unavailable
from csi_driver.host import wrapper
from csi_driver.host.doors import NodeRecord, ScsiDisk, ScsiIdentity
from csi_driver.model.ids import VolumeId
from csi_driver.model.publication import Attachment, Transport
from csi_driver.model.sizes import SECTOR, show
from csi_driver.node import look
from csi_driver.node.context import NodeContext
from csi_driver.node.disconnect import detach, has_session, is_down
from csi_driver.node.look import Own
from csi_driver.node.stages import Stage

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds between two looks for a disk; doubled from the first to the longest (failures.md I14)."""


async def connect(context: NodeContext, stage: Stage) -> Own:
    """The device that leads to the volume, made if it is this node's to make.

    Unavailable while something needed is missing, Precondition when the publication is over, InternalError when the
    device is not the volume.
    """
    if stage.transport is Transport.LOCAL:
        return await _local(context, stage)
    await _log_in(context, stage)
    disk = await _disk(context, stage.volume)
    size = await _proven_size(context, stage, disk)
    await wrapper.ensure(
        context.doors.dm,
        stage.device,
        uuid=stage.uuid,
        over=disk.devno,
        sectors=size // SECTOR,
        # The kernel lets nothing that may write lie over a disk that the target protects.
        readonly=stage.readonly,
    )
    return await _found(context, stage)


async def _local(context: NodeContext, stage: Stage) -> Own:
    """The wrapper that the agent of this node made when it published the volume."""
    dm, volume = context.doors.dm, stage.volume
    own = await look.with_uuid(dm, volume, stage.uuid)
    if own is not None:
        await look.check_live(dm, volume, own)
        if problem := too_small(await context.doors.devices.size(own.devno), stage.size):
            raise InternalError(f"volume {volume}: device {own.device.name} is not the volume: {problem}")
        return own
    if await dm.find(stage.device) is None:
        raise Unavailable(f"volume {volume}: the storage side of this node has not made its device yet; ask again")
    raise Precondition(f"volume {volume}: its device on this node is not of publication {stage.number}; publish anew")


async def _found(context: NodeContext, stage: Stage) -> Own:
    own = await look.with_uuid(context.doors.dm, stage.volume, stage.uuid)
    if own is None:
        raise Unavailable(f"volume {stage.volume}: its device on this node was just taken away; ask again")
    return own


def _attachment(context: NodeContext, stage: Stage) -> Attachment:
    volume, attachments = stage.volume, context.attachments
    held = attachments.get(volume)
    if held is not None and held.number == stage.number:
        return held
    if held is not None and held.number > stage.number:
        raise Unavailable(
            f"volume {volume} was published to this node anew as {held.number}; this stage is still of {stage.number}"
        )
    attachments.want(volume)
    raise Unavailable(
        f"volume {volume}: this node has lost the secret of publication {stage.number}; the controller has been "
        "asked for a new one"
    )


async def _log_in(context: NodeContext, stage: Stage) -> None:
    """One session to the target."""
    volume = stage.volume
    held = context.attachments.get(volume)
    if not await is_down(context, volume) and (held is None or held.number == stage.number):
        # It needs no secret any more; one set anew would be unknown to this session, and part it at its next login.
        return
    attachment = _attachment(context, stage)
    owns = await look.devices(context.doors.dm, volume)
    if any(own.consumer for own in owns) or await has_session(context, volume):
        # A session that is down may retry for ever with a secret that is no longer in force, and a wrapper without
        # a session leads to a disk that is gone, whatever has its number now. Busy if anyone still uses it.
        await detach(context, volume, owns)
    portals = attachment.portals or stage.portals
    if not portals:
        raise Unavailable(f"volume {volume}: its storage node has told no address yet; ask again")
    await _log_in_by_one(context, stage, attachment, portals)


async def _log_in_by_one(context: NodeContext, stage: Stage, attachment: Attachment, portals: tuple[str, ...]) -> None:
    """Through the first portal that answers. Unavailable, saying of each why not, when none does."""
    volume, initiator = stage.volume, context.doors.initiator
    silent: list[str] = []
    for portal in portals:
        record = NodeRecord(
            iqn=volume.iqn,
            portal=portal,
            chap_user=attachment.chap_user,
            secret=attachment.secret,
            mutual=context.settings.mutual_chap,
            replacement_timeout=stage.replacement_timeout,
        )
        await initiator.put_record(record)
        try:
            return await initiator.login(volume.iqn, portal)
        except Denied as error:
            # Either this node was fenced, then the controller lets the wish pass; or the two ends do not agree.
            context.attachments.want(volume)
            raise Unavailable(f"volume {volume}: the target at {portal} refuses this node: {error}") from error
        except Unavailable as error:
            silent.append(str(error))
    raise Unavailable("; ".join(silent))


async def _disk(context: NodeContext, volume: VolumeId) -> ScsiDisk:
    """The disk of the session, scanned for until the kernel shows it or patience ends."""
    devices = context.doors.devices
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + context.patience.disk, FIRST_PAUSE
    while True:
        disks = [disk for disk in await devices.disks(volume.iqn) if disk.lun == 0]
        if disks:
            return disks[0]
        if loop.time() >= end:
            raise Unavailable(f"volume {volume}: no disk after {context.patience.disk:.0f} s of scanning; ask again")
        await devices.scan(volume.iqn)
        if not await devices.disks(volume.iqn):
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


async def _proven_size(context: NodeContext, stage: Stage, disk: ScsiDisk) -> int:
    """Bytes of the disk, which is the volume, and which the kernel knows at this size."""
    devices = context.doors.devices
    identity = await devices.identity(disk)
    problem = mismatch(stage.volume, identity, stage.size)
    if problem:
        # An error that is final: the stage takes the session away again.
        raise InternalError(f"volume {stage.volume}: disk {disk.name} is not the volume: {problem}")
    if await devices.size(disk.devno) != identity.size:
        await devices.rescan(disk)
    return identity.size


async def is_still(context: NodeContext, volume: VolumeId, owns: tuple[Own, ...], least: int) -> bool:
    """False when the disk below this node's wrapper says that it is not the volume of ``least`` bytes or more.

    True when there is none, or when it cannot be asked: then nothing reaches it either.
    """
    if not any(own.consumer for own in owns):
        return True
    for disk in await context.doors.devices.disks(volume.iqn):
        try:
            identity = await context.doors.devices.identity(disk)
        except (NotFound, Unavailable):
            continue
        if problem := mismatch(volume, identity, least):
            log.error("not the volume", extra={"volume": str(volume), "disk": disk.name, "problem": problem})
            return False
    return True


def mismatch(volume: VolumeId, identity: ScsiIdentity, least: int) -> str:
    """Why the disk that says this of itself is not the volume of ``least`` bytes or more; empty when it is."""
    if identity.serial != volume.serial:
        return f"its serial is {identity.serial!r}, not {volume.serial}"
    if identity.naa.lower() != volume.naa:
        return f"its NAA name is {identity.naa!r}, not {volume.naa}"
    return too_small(identity.size, least)


def too_small(size: int, least: int) -> str:
    """Why a device of ``size`` bytes is not a volume that had ``least``; empty when it may be: a volume only grows."""
    if size <= 0:
        return "it has no size"
    return f"it has {show(size)}, at least {show(least)} are known of" if size < least else ""
