"""What room a pool has, from its settings and one look at its volume group. Pure."""

from __future__ import annotations

import dataclasses

from csi_driver.agent import growth
from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.pool import Pool, WhenFull
from csi_driver.model.sizes import MIB, show
from csi_driver.settings import PoolSettings

METADATA_STOP = 0.80
"""Creates stop when this part of a thin pool's or a group's metadata is used (DESIGN 3)."""
DATA_STOP = 0.95
"""Creates stop when this part of a thin pool's data holds something: its tenants come first."""
SNAPSHOT = "snap-"
"""What the names of snapshots begin with (DESIGN 3)."""


def describe(settings: PoolSettings, group: VolumeGroup, node: str, problem: str = "") -> Pool:
    """The pool as it is now. ``problem``: what is known to be wrong with it already."""
    thin = group.volume(settings.thin_pool) if settings.thin_pool else None
    promised = _promised(settings, group, thin)
    pool = Pool(
        node=node,
        name=settings.name,
        vg=group.name,
        extent=group.extent,
        thin_free=_thin_free(settings, group, thin, promised),
        thick_free=_floor(max(group.free - settings.reserve, 0), group.extent),
        striped_free=_legged(settings, group, stripes=settings.stripes),
        raid1_free=_legged(settings, group, copies=2),
        raid10_free=_legged(settings, group, stripes=settings.stripes, copies=2),
        stripes=settings.stripes,
        thin_size=thin.size if thin else 0,
        thin_used=int(thin.size * thin.data_percent / 100) if thin else 0,
        thin_allocated=promised,
        thin_layout=thin.data_layout if thin else "",
        when_full=WhenFull(thin.when_full) if thin and thin.when_full else None,
        metadata_size=thin.metadata_size if thin else 0,
        metadata_used=int(thin.metadata_size * thin.metadata_percent / 100) if thin else 0,
        group_size=group.size,
        group_free=group.free,
        group_metadata_size=group.metadata_size,
        group_metadata_free=group.metadata_free,
        overcommit=settings.overcommit,
        reserve=settings.reserve,
        snapshot_share=settings.snapshot_share,
        problem=problem or _problem(settings, group, thin),
        warnings=_warnings(group, thin),
        labels=settings.labels,
    )
    if thin is None:
        return pool
    return dataclasses.replace(pool, warnings=pool.warnings + growth.warnings(settings, group, thin, pool))


def snapshot_room(settings: PoolSettings, size: int) -> int:
    """What snapshots of ``size`` bytes in all take of the bytes that may be promised. Rounded up: at a share of 1 not
    a byte may be missing.
    """
    return -int(-size * settings.snapshot_share // 1)


def missing(settings: PoolSettings, node: str, problem: str) -> Pool:
    """A pool whose volume group cannot be read: nothing can be made there."""
    return Pool(
        node=node, name=settings.name, vg=settings.vg, extent=4 * MIB, thin_free=None, thick_free=None, problem=problem
    )


def figures(pool: Pool) -> str:
    """The pool's figures in words, for whoever is refused."""
    parts = [f"volume group {pool.vg}: {show(pool.group_free)} of {show(pool.group_size)} free"]
    if pool.thin_size:
        parts.append(
            f"thin pool: {show(pool.thin_used)} of {show(pool.thin_size)} used, {show(pool.thin_allocated)} promised "
            f"at overcommit {pool.overcommit:g}"
        )
    if pool.reserve:
        parts.append(f"{show(pool.reserve)} kept back")
    return "; ".join(parts)


def _promised(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume | None) -> int:
    inside = [lv for lv in group.volumes if thin and lv.pool == thin.name]
    snapshots = sum(lv.size for lv in inside if lv.name.startswith(SNAPSHOT))
    return sum(lv.size for lv in inside if not lv.name.startswith(SNAPSHOT)) + snapshot_room(settings, snapshots)


def _legged(settings: PoolSettings, group: VolumeGroup, *, stripes: int = 1, copies: int = 1) -> int | None:
    """Room for one volume whose every stripe lies on ``copies`` disks, each leg on a disk of its own; None when there
    are too few disks. A leg of a raid needs an extent for its metadata beside it.
    """
    legs, extra = stripes * copies, group.extent if copies > 1 else 0
    rooms = sorted((_floor(disk.free, group.extent) for disk in group.disks if not disk.missing), reverse=True)
    if len(rooms) < legs:
        return None
    affordable = _floor(max(group.free - settings.reserve, 0) // legs, group.extent)
    return stripes * max(min(rooms[legs - 1], affordable) - extra, 0)


def _thin_free(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume | None, promised: int) -> int | None:
    if thin is None:
        return None
    free = int(thin.size * settings.overcommit) - settings.reserve - promised
    return _floor(max(free, 0), group.extent)


def _problem(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume | None) -> str:
    if group.missing:
        return f"{group.missing} of the disks of volume group {group.name} are missing"
    if settings.thin_pool and thin is None:
        return f"volume group {group.name} has no thin pool {settings.thin_pool}"
    # A change is written beside what it replaces: half of the area is all that LVM ever calls free (mechanisms.md 7).
    if group.metadata_size and group.metadata_free < (1 - METADATA_STOP) * group.metadata_size / 2:
        return f"the metadata area of volume group {group.name} has only {show(group.metadata_free)} left"
    if thin and thin.health in _BROKEN:
        return f"thin pool {thin.name} is broken: {_BROKEN[thin.health]}"
    if thin and thin.data_percent >= DATA_STOP * 100:
        used = f"{show(int(thin.size * thin.data_percent / 100))} of {show(thin.size)}"
        return f"the data of thin pool {thin.name} is {thin.data_percent:.1f} % full: {used}"
    if thin and thin.metadata_percent >= METADATA_STOP * 100:
        return f"the metadata of thin pool {thin.name} is {thin.metadata_percent:.1f} % full"
    return ""


_BROKEN = {
    "failed": "the kernel cannot use it any more",
    "out_of_data": "its data is full",
    "metadata_read_only": "its metadata is read-only",
}
"""lv_health_status of a thin pool (lvs(8)), in words."""


_HEALTH = {"partial": "a disk is missing", "refresh needed": "a leg has failed"}
"""lv_health_status of a raid (lvs(8)), in words."""


def _warnings(group: VolumeGroup, thin: LogicalVolume | None) -> tuple[str, ...]:
    found = [f"disk {disk.name} is missing" for disk in group.disks if disk.missing]
    legged = [lv for lv in group.volumes if lv.sync_percent is not None and lv.health]
    found += [f"{lv.name} ({lv.layout}): {_HEALTH.get(lv.health, lv.health)}" for lv in legged]
    if thin and not thin.zeroing:
        found.append(f"thin pool {thin.name} does not zero its chunks: an earlier tenant's data may show")
    return tuple(found)


def _floor(size: int, unit: int) -> int:
    return size // unit * unit
