"""From a device of ours back to nothing: wrapper, disk, session and node record, when the target answers and when not.

When it does not, whatever waits for I/O is let go in the one order that works (mechanisms.md 3): new I/O is held,
the session logged out, which fails what is queued, then the wrapper answers with errors.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from functools import partial

from csi_driver.errors import Busy, CommandFailed, DriverError, StillWorking, Unavailable
from csi_driver.host import wrapper
from csi_driver.host.dm import tables
from csi_driver.host.doors import DmDevice
from csi_driver.model.ids import VolumeId
from csi_driver.node.context import NodeContext
from csi_driver.node.look import Own

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
"""Seconds after an attempt that failed; doubled from then on."""


async def is_down(context: NodeContext, volume: VolumeId) -> bool:
    """Whether there is no session to the volume's target that works."""
    sessions = await context.doors.initiator.sessions()
    return not any(session.iqn == volume.iqn and session.state == "LOGGED_IN" for session in sessions)


async def has_session(context: NodeContext, volume: VolumeId) -> bool:
    """Whether there is a session to the volume's target, working or not."""
    return any(session.iqn == volume.iqn for session in await context.doors.initiator.sessions())


async def detach(context: NodeContext, volume: VolumeId, owns: tuple[Own, ...]) -> None:
    """Take away the wrapper among ``owns`` that is this node's, the disk, the session and the node record.

    Busy while something holds the wrapper open, Unavailable while iscsid cannot log out. What waits for a dead
    session is let go first.
    """
    doors, iqn = context.doors, volume.iqn
    for own in owns:
        if own.consumer:
            await patiently(context, volume, owns, partial(_until_let_go, context, volume, own))
            await _remove_wrapper(context, own)
    await patiently(context, volume, owns, partial(_delete_disks, context, volume))
    await doors.initiator.logout(iqn)
    await doors.initiator.remove_record(iqn)


async def _until_let_go(context: NodeContext, volume: VolumeId, own: Own) -> None:
    """Return when nobody holds a wrapper whose session is down, or what they wait for can come or fail."""
    while await is_down(context, volume):
        device = await _current(context, own)
        if device is None or not device.open_count or tables.is_error(await context.doors.dm.table(device.name)):
            return
        await asyncio.sleep(context.patience.look)


async def _remove_wrapper(context: NodeContext, own: Own) -> None:
    """Remove it. It may be held for moments longer: by udev's probe, or by an unmount that an error just ended."""
    loop = asyncio.get_running_loop()
    end, pause = loop.time() + context.patience.busy, FIRST_PAUSE
    while True:
        try:
            return await wrapper.remove(context.doors.dm, own.device.name, uuid=own.device.uuid)
        except Busy as error:
            if loop.time() >= end:
                raise Busy(f"the device {own.device.name} is still in use on this node: {error}") from error
        await asyncio.sleep(pause)
        pause *= 2


async def _delete_disks(context: NodeContext, volume: VolumeId) -> None:
    """Detach the disks before the logout (failures.md D2); the kernel flushes their caches then.

    Their identity does not matter here: each is a disk of a session to a target of ours that nothing lies over now.
    """
    for disk in await context.doors.devices.disks(volume.iqn):
        await context.doors.devices.delete(disk)


async def patiently(
    context: NodeContext, volume: VolumeId, owns: tuple[Own, ...], work: Callable[[], Coroutine[None, None, None]]
) -> None:
    """Do ``work``, which waits as long as the session is down; end the I/O that it waits for when patience ends.

    There is none when the publication is over: then nobody can let the data in any more. Returns only when the
    work is over: what the kernel does cannot be called back.
    """
    consumer = next((own for own in owns if own.consumer), None)
    patience = context.patience.session if _is_published(context, volume, consumer) else 0.0
    task = asyncio.create_task(work())
    task.add_done_callback(_look_at)
    while not await _is_done(context, volume, task, patience):
        try:
            await end_io(context, volume, consumer)
        except DriverError as error:
            log.warning("I/O could not be ended yet", extra={"volume": str(volume), "error": str(error)})
    await task


async def _is_done(context: NodeContext, volume: VolumeId, task: asyncio.Task[None], patience: float) -> bool:
    """True when the task is done, False when the session has been down for ``patience`` seconds on end."""
    loop = asyncio.get_running_loop()
    down_since: float | None = None
    while True:
        done, _ = await asyncio.wait({task}, timeout=context.patience.look)
        if done:
            return True
        if not await is_down(context, volume):
            down_since = None
            continue
        down_since = loop.time() if down_since is None else down_since
        if loop.time() - down_since >= patience:
            return False


def _is_published(context: NodeContext, volume: VolumeId, own: Own | None) -> bool:
    held = context.attachments.get(volume)
    return held is not None and (own is None or held.number == own.number)


async def end_io(context: NodeContext, volume: VolumeId, own: Own | None) -> None:
    """Let go all that waits for the volume, with an error; the session is gone on return.

    Waits as long as iscsid cannot log out: between the hold and the error table there is no way back.
    """
    dm, device = context.doors.dm, await _current(context, own)
    if device is None or not device.has_table:
        await _log_out(context, volume)
        return
    name = device.name
    table = await dm.table(name)
    if not tables.is_error(table):
        log.warning("I/O is ended, the target does not answer", extra={"volume": str(volume), "device": name})
        # Loaded first: if this process ends in between, the resume at its next start brings the errors.
        await dm.load(name, tables.error(tables.length(table)))
    hold = asyncio.ensure_future(dm.suspend(name))
    hold.add_done_callback(_look_at)
    try:
        await asyncio.sleep(0)
        await _log_out(context, volume)
        await hold
    finally:
        hold.cancel()
    await dm.resume(name)


def _look_at(task: asyncio.Future[None]) -> None:
    """Take note of how a task ended that its starter may not have outlived; else asyncio complains."""
    if not task.cancelled():
        task.exception()


async def _current(context: NodeContext, own: Own | None) -> DmDevice | None:
    """The device as it is now, or None when it is gone."""
    device = await context.doors.dm.find(own.device.name) if own else None
    return device if own and device and device.uuid == own.device.uuid else None


async def _log_out(context: NodeContext, volume: VolumeId) -> None:
    """Log out, however often iscsid has to be asked (mechanisms.md 3)."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await context.doors.initiator.logout(volume.iqn)
        except (Unavailable, StillWorking, CommandFailed) as error:
            log.warning("logout has to be repeated", extra={"volume": str(volume), "error": str(error)})
        await asyncio.sleep(pause)
        pause = min(2 * pause, context.patience.logout)
