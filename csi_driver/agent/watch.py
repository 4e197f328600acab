"""The agent's own watch over its thin pools: no dmeventd, no process (DESIGN 3).

The kernel is asked for each pool's usage by one ioctl every ``EVERY`` seconds. What fills is extended under the lock
of its volume group, as every verb that takes room is judged under it.
"""

from __future__ import annotations

import logging

from csi_driver.agent import growth
from csi_driver.agent.context import AgentContext
from csi_driver.agent.pools import describe
from csi_driver.errors import DriverError, NotFound
from csi_driver.host.dm import thin_status
from csi_driver.host.dm.tables import pool_name
from csi_driver.host.dm.thin_status import ThinPoolStatus
from csi_driver.host.doors import VolumeGroup
from csi_driver.model.pool import WhenFull
from csi_driver.settings import PoolSettings

log = logging.getLogger(__name__)

EVERY = 2.0
"""Seconds between looks. A pool that is extended at 80 % would have to take a tenth of its size a second to be full
before we see it."""
STEP = 0.01
"""A change of usage by this part of a pool is told to the controllers."""


class PoolWatch:
    """Remembers what was last told of each pool, by name."""

    def __init__(self, context: AgentContext) -> None:
        self._context = context
        self._told: dict[str, ThinPoolStatus] = {}

    async def look(self) -> bool:
        """One round over all pools: extend what has to be. Whether anything is worth a new look at LVM."""
        news = False
        for settings in self._context.offer.pools:
            try:
                news |= await self._look_at(settings)
            except DriverError as error:
                log.warning("thin pool could not be seen to", extra={"pool": settings.name, "error": str(error)})
        return news

    async def settle(self, settings: PoolSettings, group: VolumeGroup) -> bool:
        """Make the pool do with writes that find no room what its settings say; whether that was a change."""
        thin = group.volume(settings.thin_pool) if settings.thin_pool else None
        if thin is None or not settings.when_full or thin.when_full == settings.when_full:
            return False
        fail = WhenFull(settings.when_full) is WhenFull.ERROR
        try:
            async with self._context.locks[settings.vg]:
                await self._context.doors.lvm.set_when_full(thin.name, vg=settings.vg, fail=fail)
        except DriverError as error:
            log.warning("thin pool could not be set up", extra={"pool": settings.name, "error": str(error)})
            return False
        return True

    async def _look_at(self, settings: PoolSettings) -> bool:
        status = await self._status(settings)
        if status is None:
            return False
        if growth.due(settings, data_part=status.data_part, metadata_part=status.metadata_part):
            await self._extend(settings)
        told = self._told.get(settings.name)
        if told is not None and not _differs(told, status):
            return False
        self._told[settings.name] = status
        if status.mode != "rw" or status.needs_check:
            log.error("thin pool is in trouble", extra={"pool": settings.name, "mode": status.mode})
        return True

    async def _status(self, settings: PoolSettings) -> ThinPoolStatus | None:
        if not settings.thin_pool:
            return None
        try:
            return thin_status.parse(await self._context.doors.dm.status(pool_name(settings.vg, settings.thin_pool)))
        except NotFound:
            return None

    async def _extend(self, settings: PoolSettings) -> None:
        context = self._context
        async with context.locks[settings.vg]:
            group = await context.doors.lvm.group(settings.vg)
            thin = group.volume(settings.thin_pool)
            if thin is None or group.missing:
                return
            wanted = growth.plan(settings, group, thin, describe(settings, group, context.node))
            if not wanted:
                return
            await context.doors.lvm.grow_pool(thin.name, vg=group.name, data=wanted.data, metadata=wanted.metadata)
        log.info("thin pool extended", extra={"pool": settings.name, "data": wanted.data, "metadata": wanted.metadata})


def _differs(told: ThinPoolStatus, now: ThinPoolStatus) -> bool:
    return (
        abs(told.data_part - now.data_part) >= STEP
        or abs(told.metadata_part - now.metadata_part) >= STEP
        or (told.data_size, told.metadata_size) != (now.data_size, now.metadata_size)
        or (told.mode, told.needs_check, told.queues) != (now.mode, now.needs_check, now.queues)
    )
