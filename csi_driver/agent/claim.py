"""Claim: make a volume, with its file system, under a name that is not settled yet (DESIGN 3).

The LV is made with all its tags in one command. Only after that, and only while the tags say that it was never
done, the file system is made: never on a device that anyone but this agent can have written to. That it was done is
remembered and written down by the commit, in one command with the commit's own tag: an agent that dies in between
does it again, which hurts nobody, as a claim is never published.
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import clone, device, tags
from csi_driver.agent.context import KNOWN, RECENT, AgentContext, Found, Made
from csi_driver.agent.pools import describe, figures
from csi_driver.errors import Incompatible, InternalError, NoCapacity
from csi_driver.host.dm.tables import pool_name
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.access import FsType
from csi_driver.model.ids import VolumeId
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import MIB, round_up, show
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec

log = logging.getLogger(__name__)

EDGE = MIB
"""Bytes cleared at both ends before mkfs, where signatures lie: a mkfs that a crash cut short leaves some, and
mkfs, which we never force, would refuse to go over them."""


async def claim(context: AgentContext, spec: VolumeSpec) -> Volume:
    """The volume, made and formatted, not yet committed. The same claim again finds or finishes it."""
    await clone.prepare(context, spec)
    async with context.locks[context.pool(spec.pool).vg]:
        found = await context.look(spec.id, within=KNOWN)
        if found is not None:
            found = await context.look(spec.id)
        new = found is None
        if found is None:
            found = await _create(context, spec)
        elif spec.source and found.volume.content is Content.CLAIMED and found.lv.size < spec.size:
            # A crash has come before the last step of ``clone.make``.
            context.made.pop(spec.id, None)
            size = round_up(spec.size, found.group.extent)
            await clone.grow(context, str(spec.id), group=found.group, now=found.lv.size, size=size)
            found = await _there(context, spec.id)
    _compare(spec, found.volume)
    done = await finish(context, found, new=new)
    context.picture.put_volume(done)
    return done


async def finish(context: AgentContext, found: Found, *, new: bool = False) -> Volume:
    """The volume with everything done that must be done before anyone may see it. Does nothing twice.

    ``new``: the LV was made by the caller just now. A claim is in ``AgentContext.made`` afterwards.
    """
    volume = found.volume
    if volume.content is not Content.CLAIMED:
        return volume
    made = context.made.get(volume.id)
    if made is not None and made.uuid == found.lv.uuid:
        return made.volume
    add, remove = frozenset[str](), frozenset[str]()
    blank = new and _starts_blank(found)
    if volume.layout is not Layout.THIN:
        add, remove = await _clear(context, found)
        blank = bool(add) and not remove
    if volume.fs is not None and not volume.formatted:
        await _format(context, found, volume.fs, blank=blank)
        add |= {tags.formatted(volume.fs)}
        volume = dataclasses.replace(volume, formatted=True)
    context.made[volume.id] = Made(uuid=found.lv.uuid, volume=volume, add=add, remove=remove)
    return volume


async def clear(context: AgentContext, volume: VolumeId, size: int) -> None:
    """Overwrite what an earlier tenant may have left in the extents of a thick volume, up to ``size`` bytes.

    A tag says how far it has come, so that a repeat after a crash neither skips a byte nor clears a live one.
    """
    found = await context.look(volume)
    if found is None:
        raise InternalError(f"volume {volume} went away while it was being cleared")
    add, remove = await _clear(context, found, size)
    if add:
        await context.doors.lvm.change_tags(str(volume), vg=found.group.name, add=add, remove=remove)


async def _clear(context: AgentContext, found: Found, size: int = 0) -> tuple[frozenset[str], frozenset[str]]:
    """``clear`` up to ``size`` bytes (0: all), and the tags to add and to remove for it; none when it was done."""
    size = size or found.lv.size
    done = tags.clean_bytes(found.lv)
    if done >= size:
        return frozenset(), frozenset()
    devno = await device.open_volume(context, found)
    await context.doors.devices.zero(devno, offset=done, length=size - done)
    return frozenset({tags.clean(size)}), frozenset({tags.clean(done)} if done else ())


def _starts_blank(found: Found) -> bool:
    """Whether a new LV reads as zeros everywhere, and goes on doing so beside what is written to it.

    A thin one does if its pool zeroes chunks: else the rest of a chunk that is written in part is an earlier tenant's.
    """
    pool = found.group.volume(found.lv.pool) if found.lv.pool else None
    return pool is not None and pool.zeroing


async def _create(context: AgentContext, spec: VolumeSpec) -> Found:
    settings = context.pool(spec.pool)
    # Of a source it counts what it is now.
    group = await context.doors.lvm.group(settings.vg, within=RECENT if spec.source else KNOWN)
    pool = describe(settings, group, context.node)
    size = round_up(spec.size, pool.unit(spec.layout))
    _check_room(pool, spec.layout, size)
    marks = tags.of(spec, cluster=context.cluster, created=int(context.doors.host.now()))
    name, lvm = str(spec.id), context.doors.lvm
    if spec.source is not None:
        await clone.make(context, spec, spec.source, group=group, size=size, marks=marks)
    elif spec.layout is Layout.THIN:
        # What LVM calls active may be a pool that never held a volume, which the kernel does not know as a pool yet.
        up = await context.doors.dm.find(pool_name(group.name, settings.thin_pool)) is not None
        await lvm.create_thin(name, vg=group.name, pool=settings.thin_pool, size=size, tags=marks, pool_is_up=up)
    else:
        stripes = pool.stripes
        await lvm.create_thick(name, vg=group.name, size=size, tags=marks, layout=spec.layout, stripes=stripes)
    log.info("volume made", extra={"volume": name, "vg": group.name, "size": size})
    return await _as_made(context, spec, group, size, marks)


async def _as_made(
    context: AgentContext, spec: VolumeSpec, group: VolumeGroup, size: int, marks: frozenset[str]
) -> Found:
    """What lvcreate has just made. Of a thin volume without a report: the kernel tells what we do not know of it."""
    if spec.layout is Layout.THIN and spec.source is None:
        pool = context.pool(spec.pool).thin_pool
        lv = LogicalVolume(
            vg=group.name, name=str(spec.id), uuid="", size=size, tags=marks, pool=pool, layout="thin", active=True
        )
        known = await device.told_by_kernel(context, group, lv)
        if known is not None:
            context.doors.lvm.know(known)
            return context.prove(group, known)
    return await _there(context, spec.id)


async def _there(context: AgentContext, volume: VolumeId) -> Found:
    found = await context.look(volume)
    if found is None:
        raise InternalError(f"volume {volume} is not there after it was made")
    return found


def _check_room(pool: Pool, layout: Layout, size: int) -> None:
    """Raises NoCapacity with the pool's figures."""
    where, free = f"pool {pool.name} on node {pool.node}", pool.free(layout)
    if pool.problem:
        raise NoCapacity(f"{where}: {pool.problem} ({figures(pool)})")
    if free is None:
        raise NoCapacity(f"{where} does not offer layout {layout.value}")
    if free < size:
        raise NoCapacity(
            f"{where} has {show(free)} for {layout.value} volumes; {show(size)} are needed ({figures(pool)})"
        )


def _compare(spec: VolumeSpec, volume: Volume) -> None:
    asked = {f.name: getattr(spec, f.name) for f in dataclasses.fields(VolumeSpec) if f.name != "size"}
    differing = [name for name, value in asked.items() if getattr(volume, name) != value]
    if volume.size < spec.size:
        differing.append("size")
    if differing:
        raise Incompatible(f"volume {spec.id} exists with other {', '.join(differing)}")


async def _format(context: AgentContext, found: Found, fs: FsType, *, blank: bool) -> None:
    volume, doors = found.volume, context.doors
    devno = await device.open_volume(context, found)
    if not blank:
        await doors.devices.zero(devno, offset=0, length=EDGE)
        await doors.devices.zero(devno, offset=volume.size - EDGE, length=EDGE)
    await doors.formatter.make(doors.devices.path(devno), fs=fs, options=volume.mkfs_options, blank=blank)
    log.info("file system made", extra={"volume": str(volume.id), "fs": fs.value})
