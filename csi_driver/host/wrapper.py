"""Our dm-linear device over a volume: made, grown, drained, taken away, and cut off (DESIGN 4).

Each function looks first and may be repeated after a crash at any point. A wrapper is told from another by its dm
uuid, which carries the number of the publication that made it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from csi_driver.errors import Busy, Incompatible, NotFound, Precondition
from csi_driver.host.dm import tables
from csi_driver.host.doors import Dm, DmDevice, DmLine

FENCED = ".fenced."


async def ensure(
    dm: Dm, name: str, *, uuid: str, over: tuple[int, int], sectors: int, readonly: bool = False
) -> DmDevice:
    """The live wrapper ``name`` over all ``sectors`` of the device ``over``; made, or finished, when it has to be.

    With ``readonly`` it refuses writes; growing keeps that.

    Raises Incompatible when the name, or the device below, is another's, Precondition when it has been cut off,
    OutOfRange when the device below is smaller, Busy when someone suspended it under our hands.
    """
    device = await dm.find(name)
    if device is None:
        await dm.create(name, uuid=uuid)
    elif device.uuid != uuid:
        raise Incompatible(f"{name} is the device {device.uuid or 'of someone else'}, not {uuid}")
    if device is None or not device.has_table:
        await dm.load(name, tables.linear(over, sectors), readonly=readonly)
        await dm.resume(name)
    else:
        await _mend(dm, device, over, sectors)
    made = await dm.find(name)
    if made is None or made.suspended or not made.has_table:
        raise Busy(f"{name} was changed by someone else while it was made")
    return made


async def _mend(dm: Dm, device: DmDevice, over: tuple[int, int], sectors: int) -> None:
    """A wrapper with a table: grown if too short, let go if it is held."""
    table = await dm.table(device.name)
    if tables.is_error(table):
        raise Precondition(f"{device.name} has been cut off from its volume")
    if not _maps(table, over):
        raise Incompatible(f"{device.name} lies over another device than {over[0]}:{over[1]}")
    if device.suspended or tables.length(table) < sectors:
        # Loaded anew in both cases: a resume swaps in whatever a crash left in the inactive slot.
        await _replace(dm, device, tables.linear(over, max(sectors, tables.length(table))))


async def grow(dm: Dm, name: str, *, over: tuple[int, int], sectors: int) -> None:
    """Map ``sectors`` of the device ``over``, which has grown; nothing happens when the wrapper is as long.

    I/O is held for some milliseconds and none fails. Raises NotFound, and as ``ensure``.
    """
    device = await _found(dm, name)
    if not device.has_table:
        raise Precondition(f"{name} has no table yet")
    await _mend(dm, device, over, sectors)


async def remove(dm: Dm, name: str, *, uuid: str = "") -> None:
    """Take it away; fine when it is absent. With ``uuid`` another's wrapper of that name counts as absent.

    Busy while something holds it open.
    """
    device = await dm.find(name)
    if device is None or (uuid and device.uuid != uuid):
        return
    if device.suspended and device.has_table:
        # A probe of udev's may wait in it, and a suspended device that someone holds can never be let go.
        await dm.resume(name)
    try:
        await dm.remove(name)
    except NotFound:
        return


async def drain(dm: Dm, name: str) -> None:
    """Return when all I/O that was in flight is done; new I/O waits meanwhile and then goes on. NotFound if absent."""
    device = await _found(dm, name)
    await _swap(dm, device)


async def freeze(dm: Dm, name: str) -> None:
    """Hold all I/O of the wrapper until ``thaw``, the file system on it frozen, its journal empty. NotFound if absent.

    To the end even when the caller is cancelled: who called must let go again.
    """
    await asyncio.shield(asyncio.ensure_future(dm.suspend(name, freeze=True)))


async def thaw(dm: Dm, name: str) -> None:
    """Let go what ``freeze`` holds; fine when nothing is held, or when the wrapper has gone meanwhile."""

    async def let_go() -> None:
        device = await dm.find(name)
        if device is not None and device.suspended:
            await dm.resume(name)

    await asyncio.shield(asyncio.ensure_future(let_go()))


async def sever(dm: Dm, name: str, number: int) -> None:
    """The local fence: whoever holds the wrapper of publication ``number`` gets errors from now on (mechanisms.md 1).

    What was in flight is done, or never coming, on return; the volume below is free. The device lives on as
    ``<name>.fenced.<number>`` until nothing holds or names it, see ``remove_severed``. Fine when that publication has
    no wrapper any more, and when another's wrapper has the name. Waits as long as the disk below hangs, and ending
    this process undoes the wait: then do it again.
    """
    device = await dm.find(name)
    if device is None or not _is_of(device, number):
        return
    if not device.has_table:
        # No I/O has ever passed it.
        await remove(dm, name, uuid=device.uuid)
        return
    table = await dm.table(name)
    if device.suspended or not tables.is_error(table):
        await _replace(dm, device, tables.error(tables.length(table)))
    await dm.rename(name, f"{name}{FENCED}{number}")


async def remove_severed(dm: Dm, refers: Callable[[DmDevice], Awaitable[bool]]) -> tuple[str, ...]:
    """Take away the severed wrappers that nobody holds and, by ``refers``, nothing leads to. The names of the rest."""
    held: list[str] = []
    for device in await dm.devices():
        if FENCED not in device.name:
            continue
        try:
            if device.open_count or await refers(device):
                held.append(device.name)
            else:
                await remove(dm, device.name, uuid=device.uuid)
        except Busy:
            held.append(device.name)
    return tuple(held)


async def thin_extend(dm: Dm, *, vg: str, lv: str, sectors: int) -> None:
    """Bring an active thin LV's device to the length that its LVM metadata has got (``Lvm.extend``, metadata only).

    Only this volume is held for a moment, where lvextend suspends its whole pool (kernel.md 8). Nothing happens when
    it is as long. NotFound when the LV is not active, Incompatible when it is no thin volume.
    """
    name = tables.mapper_name(vg, lv)
    device = await _found(dm, name)
    lines = await dm.table(name)
    if len(lines) != 1 or lines[0].target != "thin":
        raise Incompatible(f"{vg}/{lv} is not a plain thin volume")
    (line,) = lines
    if line.length < sectors or device.suspended:
        longer = DmLine(0, max(sectors, line.length), line.target, line.args)
        await _replace(dm, device, (longer,))


async def _replace(dm: Dm, device: DmDevice, table: tuple[DmLine, ...]) -> None:
    """Load, hold, swap. The load comes first: when it is refused, nothing has been held yet."""
    await dm.load(device.name, table, readonly=device.readonly)
    await _swap(dm, device)


async def _swap(dm: Dm, device: DmDevice) -> None:
    """Hold and let go, to the end even when the caller is cancelled: held I/O must not stay held."""

    async def swap() -> None:
        if not device.suspended:
            await dm.suspend(device.name)
        await dm.resume(device.name)

    await asyncio.shield(asyncio.ensure_future(swap()))


async def _found(dm: Dm, name: str) -> DmDevice:
    device = await dm.find(name)
    if device is None:
        raise NotFound(f"there is no device {name}")
    return device


def _maps(table: tuple[DmLine, ...], over: tuple[int, int]) -> bool:
    """Whether it is one linear line from the start of ``over``."""
    return len(table) == 1 and tables.below(table[0]) == (over, 0)


def _is_of(device: DmDevice, number: int) -> bool:
    """Whether publication ``number`` made it (``model.ids``: wrapper_uuid, consumer_uuid)."""
    return device.uuid.removesuffix("-iscsi").rpartition("-")[2] == str(number)
