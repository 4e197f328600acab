"""Claim: make a volume, with its file system, under a name that is not settled yet (DESIGN 3).

The LV is made with all its tags in one command. Only after that, and only while the tags say that it was never
done, the file system is made: never on a device that anyone but this agent can have written to.
"""

from __future__ import annotations

import dataclasses
import logging

from csi_driver.agent import device, tags
from csi_driver.agent.context import AgentContext, Found
from csi_driver.agent.pools import describe
from csi_driver.errors import Incompatible, InternalError, NoCapacity
from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import MIB, round_up, show
from csi_driver.model.volume import Content, Layout, Volume, VolumeSpec

log = logging.getLogger(__name__)

EDGE = MIB
"""Bytes cleared at both ends before mkfs, where signatures lie: a mkfs that a crash cut short leaves some, and
mkfs, which we never force, would refuse to go over them."""


async def claim(context: AgentContext, spec: VolumeSpec) -> Volume:
    """The volume, made and formatted, not yet committed. The same claim again finds or finishes it."""
    async with context.locks[context.pool(spec.pool).vg]:
        found = await context.look(spec.id)
        if found is None:
            await _create(context, spec)
            found = await context.look(spec.id)
    if found is None:
        raise InternalError(f"volume {spec.id} is not there after it was made")
    _compare(spec, found.volume)
    done = await finish(context, found)
    context.picture.put_volume(done)
    return done


async def finish(context: AgentContext, found: Found) -> Volume:
    """The volume with everything done that must be done before anyone may see it. Does nothing twice."""
    volume = found.volume
    if volume.content is not Content.CLAIMED:
        return volume
    if volume.layout is Layout.THICK:
        await clear(context, volume.id, found.volume.size)
    if volume.fs is not None and not volume.formatted:
        await _format(context, found)
        volume = dataclasses.replace(volume, formatted=True)
    return volume


async def clear(context: AgentContext, volume: VolumeId, size: int) -> None:
    """Overwrite what an earlier tenant may have left in the extents of a thick volume, up to ``size`` bytes.

    A tag says how far it has come, so that a repeat after a crash neither skips a byte nor clears a live one.
    """
    found = await context.look(volume)
    if found is None:
        raise InternalError(f"volume {volume} went away while it was being cleared")
    done = tags.clean_bytes(found.lv)
    if done >= size:
        return
    devno = await device.open_volume(context, found)
    await context.doors.devices.zero(devno, offset=done, length=size - done)
    old = frozenset({tags.clean(done)}) if done else frozenset()
    await context.doors.lvm.change_tags(str(volume), vg=found.group.name, add=frozenset({tags.clean(size)}), remove=old)


async def _create(context: AgentContext, spec: VolumeSpec) -> None:
    settings = context.pool(spec.pool)
    group = await context.doors.lvm.group(settings.vg)
    pool = describe(settings, group, context.node)
    size = round_up(spec.size, group.extent)
    free = pool.free(spec.layout)
    where = f"pool {pool.name} on node {context.node}"
    if pool.problem:
        raise NoCapacity(f"{where}: {pool.problem}")
    if free is None:
        raise NoCapacity(f"{where} does not offer layout {spec.layout.value}")
    if free < size:
        raise NoCapacity(f"{where} has {show(free)} for {spec.layout.value} volumes; {show(size)} are needed")
    marks = tags.of(spec, cluster=context.cluster, created=int(context.doors.host.now()))
    name, lvm = str(spec.id), context.doors.lvm
    if spec.layout is Layout.THIN:
        await lvm.create_thin(name, vg=group.name, pool=settings.thin_pool, size=size, tags=marks)
    else:
        await lvm.create_thick(name, vg=group.name, size=size, tags=marks)
    log.info("volume made", extra={"volume": name, "vg": group.name, "size": size})


def _compare(spec: VolumeSpec, volume: Volume) -> None:
    asked = {f.name: getattr(spec, f.name) for f in dataclasses.fields(VolumeSpec) if f.name != "size"}
    differing = [name for name, value in asked.items() if getattr(volume, name) != value]
    if volume.size < spec.size:
        differing.append("size")
    if differing:
        raise Incompatible(f"volume {spec.id} exists with other {', '.join(differing)}")


async def _format(context: AgentContext, found: Found) -> None:
    volume, doors = found.volume, context.doors
    if volume.fs is None:
        return
    devno = await device.open_volume(context, found)
    await doors.devices.zero(devno, offset=0, length=EDGE)
    await doors.devices.zero(devno, offset=volume.size - EDGE, length=EDGE)
    await doors.formatter.make(doors.devices.path(devno), fs=volume.fs, options=volume.mkfs_options)
    await doors.lvm.change_tags(
        str(volume.id), vg=volume.vg, add=frozenset({tags.formatted(volume.fs)}), remove=frozenset()
    )
    log.info("file system made", extra={"volume": str(volume.id), "fs": volume.fs.value})
