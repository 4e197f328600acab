"""Pools made by the agent, from disks that its settings name (DESIGN 3).

Only blank disks are taken; nothing is ever wiped. Each step looks before it acts, so that a crash at any of them is
mended by the next start:

1. the plan is written down, while every disk is blank: from then on a disk with the label of LVM on it may be one
   that we have begun with;
2. ``vgcreate``, with a tag that says that the group is ours to complete; it refuses a disk of another group;
3. ``lvcreate`` of the thin pool, sized by ``sizes``; the plan is crossed out.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from csi_driver.agent.context import AgentContext
from csi_driver.agent.growth import MOST_METADATA
from csi_driver.agent.tags import PREFIX
from csi_driver.errors import DriverError, NotFound
from csi_driver.host.doors import VolumeGroup
from csi_driver.kit.state import Records
from csi_driver.model.sizes import MIB, round_up, show
from csi_driver.settings import PoolSettings

log = logging.getLogger(__name__)

MADE = f"{PREFIX}made=1"
"""The tag of a volume group that an agent of ours made."""
CHUNK = 64 * 1024
FIXED, PER_CHUNK = 16 * MIB, 64
"""Bytes of metadata: some in any case, and for each chunk (LVM's own rule has the second part alone)."""
SMALLEST = 64 * MIB
"""Data that a thin pool is worth making for."""
LVM_LABEL = "it holds an LVM physical volume"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a thin pool, in bytes; LVM takes ``metadata`` once more for the spare."""

    data: int
    metadata: int


def sizes(settings: PoolSettings, group: VolumeGroup) -> Sizes | None:
    """How large the thin pool of a new group becomes; None when the group is too small.

    ``thin_share`` of what the group has free after the reserve goes to it. Of that: metadata of 16 MiB and 64 bytes a
    chunk; its spare; and as much again left free in the group, for the metadata to be doubled once. The rest is data.
    """
    extent = group.extent
    room = int(max(group.free - settings.reserve, 0) * settings.thin_share) // extent * extent
    metadata = round_up(min(FIXED + room // CHUNK * PER_CHUNK, MOST_METADATA), extent)
    data = room - 4 * metadata
    return Sizes(data, metadata) if data >= SMALLEST else None


async def provide(context: AgentContext, plans: Records) -> dict[str, str]:
    """Make what is missing of the pools that have disks. What could not be made, and why, by the pool's name."""
    problems = {}
    for settings in context.offer.pools:
        if not settings.disks:
            continue
        try:
            async with context.locks[settings.vg]:
                problem = await _provide(context, plans, settings)
        except DriverError as error:
            problem = str(error)
        if problem:
            problems[settings.name] = f"the pool is not made: {problem}"
            log.error("pool not made", extra={"pool": settings.name, "error": problem})
    return problems


async def _provide(context: AgentContext, plans: Records, settings: PoolSettings) -> str:
    lvm = context.doors.lvm
    try:
        group = await lvm.group(settings.vg)
    except NotFound:
        if problem := await _make_group(context, plans, settings):
            return problem
        group = await lvm.group(settings.vg)
    if MADE not in group.tags:
        return "" if _complete(settings, group) else f"volume group {settings.vg} is there and was not made by us"
    if not _complete(settings, group):
        wanted = sizes(settings, group)
        if wanted is None:
            return f"volume group {settings.vg} has {show(group.free)} free: too little for a thin pool"
        pool = settings.thin_pool
        await lvm.create_pool(pool, vg=settings.vg, size=wanted.data, metadata=wanted.metadata)
        log.info("thin pool made", extra={"pool": settings.name, "data": wanted.data, "metadata": wanted.metadata})
    if settings.vg in plans.read():
        await plans.remove(settings.vg)
    return ""


def _complete(settings: PoolSettings, group: VolumeGroup) -> bool:
    return not settings.thin_pool or group.volume(settings.thin_pool) is not None


async def _make_group(context: AgentContext, plans: Records, settings: PoolSettings) -> str:
    if context.offer.was_found(settings.vg):
        return f"volume group {settings.vg} was here before and is not there now"
    plan = "\n".join(settings.disks).encode()
    begun = plans.read().get(settings.vg) == plan
    for disk in settings.disks:
        reason = await context.doors.devices.used(disk)
        if reason and not (begun and reason == LVM_LABEL):
            return f"disk {disk} is not blank: {reason}"
    if not begun:
        await plans.put(settings.vg, plan)
    await context.doors.lvm.create_group(settings.vg, disks=settings.disks, tags=frozenset({MADE}))
    log.info("volume group made", extra={"vg": settings.vg, "disks": list(settings.disks)})
    return ""
