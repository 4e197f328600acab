"""NodeStageVolume: the volume ready on this node, mounted at its staging path or as a device (csi.md 1.8, DESIGN 4).

Written down before it is begun, looked at before each step. There is no mkfs here, nor anything that could call one:
a volume has its file system from its storage node, or the stage fails (failures.md D1).
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.errors import DriverError, Incompatible, Precondition
from csi_driver.model.access import AccessType
from csi_driver.node import look
from csi_driver.node.connect import connect
from csi_driver.node.context import NodeContext
from csi_driver.node.look import Own
from csi_driver.node.mount_options import options
from csi_driver.node.order import order
from csi_driver.node.requests import StageRequest
from csi_driver.node.stages import Stage
from csi_driver.node.teardown import Remains, take_down

log = logging.getLogger(__name__)


async def stage(context: NodeContext, request: StageRequest) -> None:
    """The volume is staged on return; fine when it was, in the same way.

    NotFound, InvalidRequest and Precondition as ``order`` says; Incompatible when it is staged elsewhere or in
    another way; Precondition too when its staging path shows something else, or the publication is over; Unavailable
    while something needed is missing; InternalError when the device is not the volume or cannot be mounted.
    """
    wanted = order(request)
    await context.jobs.run(str(wanted.volume), "NodeStageVolume", wanted, lambda: _stage(context, wanted))


async def _stage(context: NodeContext, wanted: Stage) -> None:
    record = context.stages.get(wanted.volume)
    if record is not None and record.size > wanted.size:
        wanted = dataclasses.replace(wanted, size=record.size)
    if await _stands(context, wanted):
        return
    await _clear_the_way(context, wanted)
    await _check_path(context, wanted)
    await context.stages.begin(wanted)
    try:
        own = await connect(context, wanted)
        wanted = dataclasses.replace(wanted, size=await context.doors.devices.size(own.devno))
        if wanted.access is AccessType.MOUNT:
            await _mount(context, wanted, own)
    except DriverError as error:
        if error.final:
            await _undo(context, wanted)
        raise
    await context.stages.finish(wanted)
    log.info("staged", extra={"volume": str(wanted.volume), "path": wanted.staging_path, "device": own.device.name})


async def _stands(context: NodeContext, wanted: Stage) -> bool:
    """Whether exactly this stage is done and still there: a reboot takes the world away and leaves the record."""
    record = context.stages.get(wanted.volume)
    if record is None or not record.done or record.number != wanted.number or not record.same_use(wanted):
        return False
    own = await look.with_uuid(context.doors.dm, wanted.volume, wanted.uuid)
    if own is None or not own.device.has_table or not await look.is_linear(context.doors.dm, own):
        return False
    if await context.doors.devices.size(own.devno) < wanted.size:
        return False
    if wanted.access is AccessType.BLOCK:
        return True
    mount = look.on_top(await context.doors.mounts.table(), wanted.staging_path)
    return mount is not None and mount.devno == own.devno


async def _clear_the_way(context: NodeContext, wanted: Stage) -> None:
    """Take down what an earlier publication, or another attempt of this one, has left; refuse what is staged."""
    volume, record = wanted.volume, context.stages.get(wanted.volume)
    if record is not None and record.number > wanted.number:
        raise Precondition(
            f"volume {volume} is staged here for publication {record.number}, which is later than {wanted.number}"
        )
    if record is not None and record.number == wanted.number and not record.same_use(wanted):
        if record.done:
            raise Incompatible(f"volume {volume} is staged at {record.staging_path} in another way than asked for")
        await take_down(context, _remains(wanted, record))
    elif record is not None and record.number < wanted.number:
        await take_down(context, _remains(wanted, record))
    await _clear_devices(context, wanted)


async def _clear_devices(context: NodeContext, wanted: Stage) -> None:
    """Consumer's wrappers that no record tells of, and one of ours whose I/O was ended."""
    for own in await look.devices(context.doors.dm, wanted.volume):
        if not own.consumer:
            continue
        if own.number > wanted.number:
            raise Precondition(
                f"volume {wanted.volume} has a device of publication {own.number} here, later than {wanted.number}"
            )
        ended = own.device.has_table and not await look.is_linear(context.doors.dm, own)
        if own.number < wanted.number or ended:
            await take_down(context, _remains(wanted, context.stages.get(wanted.volume)))


def _remains(wanted: Stage, record: Stage | None) -> Remains:
    """What stands in the way of ``wanted``: what the record tells of, or what nobody tells of."""
    volume = wanted.volume
    if record is None:
        return Remains(volume=volume, staging_path=wanted.staging_path, upto=wanted.number)
    return Remains(
        volume=volume,
        staging_path=record.staging_path,
        upto=record.number,
        stage=record,
        forget=record.number < wanted.number,
    )


async def _check_path(context: NodeContext, wanted: Stage) -> None:
    """Before anything is changed: nothing but this volume may be mounted at the staging path."""
    mount = look.on_top(await context.doors.mounts.table(), wanted.staging_path)
    if mount is None:
        return
    own = await look.with_uuid(context.doors.dm, wanted.volume, wanted.uuid)
    if wanted.access is AccessType.BLOCK or own is None or own.devno != mount.devno:
        raise Precondition(
            f"{wanted.staging_path}: something else than publication {wanted.number} of volume {wanted.volume} is "
            "mounted there; unstage it first"
        )


async def _mount(context: NodeContext, wanted: Stage, own: Own) -> None:
    """The file system at the staging path, as large as its device."""
    doors, path = context.doors, context.doors.devices.path(own.devno)
    if wanted.fs is None:
        raise Precondition(f"volume {wanted.volume} has no file system to mount")
    if look.on_top(await doors.mounts.table(), wanted.staging_path) is None:
        await doors.mounts.make_folder(wanted.staging_path)
        chosen = options(wanted.fs, wanted.mount_flags, readonly=wanted.readonly)
        await doors.mounts.mount(path, wanted.staging_path, fs=wanted.fs, options=chosen)
    if wanted.readonly or "ro" in wanted.mount_flags:
        return
    # A volume that grew while it was not staged, or was made from a smaller source (csi.md 1.3, failures.md F7).
    if await doors.filesystems.size(path, fs=wanted.fs) < await doors.devices.size(own.devno):
        await doors.filesystems.grow(path, mountpoint=wanted.staging_path, fs=wanted.fs)


async def _undo(context: NodeContext, wanted: Stage) -> None:
    """After a final error Kubernetes may never call unstage: leave nothing behind but the secret, for a retry."""
    remains = Remains(volume=wanted.volume, staging_path=wanted.staging_path, upto=wanted.number, stage=wanted)
    try:
        await take_down(context, remains)
    except DriverError as error:
        # The record stands, so that unstage or the next stage finds what is left.
        log.warning("stage could not be undone", extra={"volume": str(wanted.volume), "error": str(error)})
