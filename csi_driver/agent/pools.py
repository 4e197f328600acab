"""What room a pool has, from its settings and one look at its volume group. Pure."""

from __future__ import annotations

from csi_driver.host.doors import LogicalVolume, VolumeGroup
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import MIB, show
from csi_driver.settings import PoolSettings

METADATA_STOP = 0.80
"""Creates stop when this part of a thin pool's or a group's metadata is used (DESIGN 3)."""
DATA_STOP = 0.95
"""Creates stop when this part of a thin pool's data holds something: its tenants come first."""


def describe(settings: PoolSettings, group: VolumeGroup, node: str) -> Pool:
    """The pool as it is now."""
    thin = group.volume(settings.thin_pool) if settings.thin_pool else None
    allocated = sum(lv.size for lv in group.volumes if thin and lv.pool == thin.name)
    usable = _floor(max(group.free - settings.reserve, 0), group.extent)
    problem = _problem(settings, group, thin)
    return Pool(
        node=node,
        name=settings.name,
        vg=group.name,
        extent=group.extent,
        thin_free=_thin_free(settings, group, thin, allocated),
        thick_free=usable,
        thin_size=thin.size if thin else 0,
        thin_used=int(thin.size * thin.data_percent / 100) if thin else 0,
        thin_allocated=allocated,
        metadata_size=thin.metadata_size if thin else 0,
        metadata_used=int(thin.metadata_size * thin.metadata_percent / 100) if thin else 0,
        problem=problem,
        labels=settings.labels,
    )


def missing(settings: PoolSettings, node: str, problem: str) -> Pool:
    """A pool whose volume group cannot be read: nothing can be made there."""
    return Pool(
        node=node, name=settings.name, vg=settings.vg, extent=4 * MIB, thin_free=None, thick_free=None, problem=problem
    )


def _thin_free(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume | None, allocated: int) -> int | None:
    if thin is None:
        return None
    promised = int(thin.size * settings.overcommit) - settings.reserve - allocated
    return _floor(max(promised, 0), group.extent)


def _problem(settings: PoolSettings, group: VolumeGroup, thin: LogicalVolume | None) -> str:
    if group.missing:
        return f"{group.missing} of the disks of volume group {group.name} are missing"
    if settings.thin_pool and thin is None:
        return f"volume group {group.name} has no thin pool {settings.thin_pool}"
    if group.metadata_size and group.metadata_free < (1 - METADATA_STOP) * group.metadata_size:
        return f"the metadata area of volume group {group.name} has only {show(group.metadata_free)} left"
    if thin and thin.data_percent >= DATA_STOP * 100:
        return f"the data of thin pool {thin.name} is {thin.data_percent:.1f} % full"
    if thin and thin.metadata_percent >= METADATA_STOP * 100:
        return f"the metadata of thin pool {thin.name} is {thin.metadata_percent:.1f} % full"
    return ""


def _floor(size: int, unit: int) -> int:
    return size // unit * unit
