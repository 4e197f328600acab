"""How far a thin pool is extended before it can fill, and what is left to say when it cannot be. Pure.

Data is extended only where more is promised than the pool has: at overcommit 1 no volume can meet a full pool.
Metadata is extended in any case: how much of it a chunk takes depends on what is written where, and in what order.
"""

from __future__ import annotations

from dataclasses import dataclass

from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB, show
from csi_driver.settings import PoolSettings

METADATA_AT = 0.60
"""Metadata is extended when this part of it is used: creates stop at 0.8, LVM itself at 0.75 of a small one."""
MOST_METADATA = 15 * GIB + 832 * MIB
"""dm-thin uses no more (THIN_METADATA_MAX_SECTORS of the kernel's dm-thin-metadata.h: 15.81 GiB)."""


@dataclass(frozen=True, slots=True)
class Growth:
    """New sizes in bytes; 0: stays as it is."""

    data: int = 0
    metadata: int = 0

    def __bool__(self) -> bool:
        return bool(self.data or self.metadata)


def due(settings: PoolSettings, *, data_part: float, metadata_part: float) -> bool:
    """Whether a pool that is so full (0 to 1) is one to look at."""
    return metadata_part >= METADATA_AT or (settings.extend_by > 0 and data_part >= settings.extend_at)


def plan(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume, pool: Pool) -> Growth:
    """What the pool is extended to now. The reserve of the group is not touched.

    Metadata comes first: a pool whose metadata is full has to be repaired. It is doubled, and LVM makes its spare as
    large. Data grows by ``extend_by`` of its size, to what is promised at most.
    """
    spare = max(group.free - settings.reserve, 0) // group.extent * group.extent
    metadata = 0
    if thin.metadata_percent >= METADATA_AT * 100:
        more = min(thin.metadata_size, MOST_METADATA - thin.metadata_size, spare // 2) // group.extent * group.extent
        if more > 0:
            metadata, spare = thin.metadata_size + more, spare - 2 * more
    data = 0
    if settings.extend_by > 0 and thin.data_percent >= settings.extend_at * 100:
        wanted = -(-int(thin.size * settings.extend_by) // group.extent) * group.extent
        more = min(wanted, max(pool.thin_allocated - thin.size, 0), spare) // group.extent * group.extent
        if more > 0:
            data = thin.size + more
    return Growth(data, metadata)


def warnings(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume, pool: Pool) -> tuple[str, ...]:
    """What an operator must see to: the pool fills, and nothing can be added to it by us."""
    left = plan(settings, group, thin, pool)
    found = []
    if thin.metadata_percent >= METADATA_AT * 100 and not left.metadata:
        found.append(
            f"the metadata of thin pool {thin.name} is {thin.metadata_percent:.1f} % full and cannot be extended: "
            f"volume group {group.name} has {show(group.free)} free, {show(settings.reserve)} of it kept back"
        )
    promised_more = pool.thin_allocated > thin.size
    if thin.data_percent >= settings.extend_at * 100 and promised_more and not left.data:
        why = "extend_by is 0" if settings.extend_by == 0 else f"volume group {group.name} has {show(group.free)} free"
        found.append(
            f"thin pool {thin.name} is {thin.data_percent:.1f} % full, {show(pool.thin_allocated)} are promised of its "
            f"{show(thin.size)}, and it cannot be extended: {why}, {show(settings.reserve)} of it kept back"
        )
    return tuple(found)
