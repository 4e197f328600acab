"""Simulated LVM: what lvcreate, lvremove, lvextend and lvchange accept and refuse."""

from __future__ import annotations

import asyncio
import re

from csi_driver.errors import Busy, CommandFailed, Incompatible, InvalidRequest, NoCapacity, NotFound
from csi_driver.host.doors import LogicalVolume, PhysicalVolume, VolumeGroup
from csi_driver.host.lvm.reports import Reports
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.model.volume import Layout
from csi_driver.testing.dm import drop
from csi_driver.testing.groups import DATA_START, TEXT_PER_VOLUME, Group, Lv, Pool
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import CHUNK, DM_MAJOR, Disk, Mapped, PoolNode, Thin
from csi_driver.testing.store import writing, zeroing

_TAG = re.compile(r"[A-Za-z0-9_+.\-/=!:#&]{1,4096}")
_NAME = re.compile(r"(?!-)(?!\.\.?$)[A-Za-z0-9_+.\-]{1,127}")
_RESERVED = re.compile(r"^(snapshot|pvmove)|_(cdata|cmeta|corig|mimage|mlog|rimage|rmeta|tdata|tmeta|vorigin)")
FAILED = 5
"""LVM's ECMD_FAILED."""
MALFORMED = 3
"""LVM's EINVALID_CMD_LINE."""


class SimLvm:
    """The door ``Lvm`` over the volume groups of a simulated machine."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self._one_by_one = asyncio.Lock()
        self._reports = Reports()
        self.effects = effects or Effects()

    async def group(self, vg: str, *, within: float = 0.0) -> VolumeGroup:
        """See ``Lvm.group``."""
        known = self._reports.recall(vg, within)
        if known is not None:
            return known
        stamp = self._reports.stamp()
        group = self._read(vg)
        self._reports.keep(stamp, group)
        return group

    def know(self, lv: LogicalVolume) -> None:
        """See ``Lvm.know``."""
        self._reports.know(lv)

    def _read(self, vg: str) -> VolumeGroup:
        group = self._group(vg)
        return VolumeGroup(
            name=vg,
            uuid=group.uuid,
            size=group.extents * group.extent,
            free=len(group.free_extents) * group.extent,
            extent=group.extent,
            metadata_size=group.metadata_size,
            metadata_free=group.metadata_free,
            missing=group.missing,
            volumes=tuple(self._row(group, lv) for _, lv in sorted(group.volumes.items())),
            disks=tuple(_disk(group, number) for number in range(group.disks)),
            tags=group.tags,
        )

    @effect("lvm.create_thin")
    async def create_thin(
        self, name: str, *, vg: str, pool: str, size: int, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """See ``Lvm.create_thin``. Any virtual size goes: overcommit is the caller's business."""
        number = self._reports.change()
        async with self._one_by_one:
            group = self._check_new(vg, name, size, tags)
            below = group.volumes.get(pool)
            if below is None or below.own_pool is None:
                raise CommandFailed("lvm", FAILED, f"Thin pool {vg}/{pool} not found.")
            _check_threshold(below.own_pool, f"{vg}/{pool}")
            lv = Lv(name, group.new_uuid(name), size, tags, pool=pool)
            group.add_thin(lv)
            group.volumes[name] = lv
            self._activate(group, lv)
        self._reports.made(vg, name, number)

    @effect("lvm.create_thick")
    async def create_thick(
        self,
        name: str,
        *,
        vg: str,
        size: int,
        tags: frozenset[str],
        layout: Layout = Layout.THICK,
        stripes: int = 1,
    ) -> None:
        """See ``Lvm.create_thick``. Only the first 4 KiB are wiped: the rest is what the last owner left."""
        number = self._reports.change()
        async with self._one_by_one:
            group = self._check_new(vg, name, size, tags)
            extents, legs = _take(group, size, layout, stripes)
            size = len(extents) * group.extent
            lv = Lv(name, group.new_uuid(name), size, tags, extents=extents, layout=layout, legs=legs, stripes=stripes)
            group.volumes[name] = lv
            self._activate(group, lv)
            group.disk.store.apply(zeroing(DATA_START + lv.extents[0] * group.extent, 4096))
        self._reports.made(vg, name, number)

    @effect("lvm.create_snapshot")
    async def create_snapshot(
        self, name: str, *, vg: str, origin: str, tags: frozenset[str], pool_is_up: bool = False
    ) -> None:
        """See ``Lvm.create_snapshot``. That of a suspended origin breaks the pool: counted among the violations."""
        self._reports.change()
        async with self._one_by_one:
            _, source = self._lv(vg, origin)
            group = self._check_new(vg, name, source.size, tags)
            below = group.volumes[source.pool].own_pool if source.pool else None
            if below is None:
                raise CommandFailed("lvm", FAILED, f"{vg}/{origin} is not thin: it has no thin snapshots.")
            _check_threshold(below, f"{vg}/{source.pool}")
            node = self._node(group, origin)
            if node is not None and node.suspended:
                self._machine.network.violations.append(f"snapshot of {vg}/{origin} while it is suspended")
                raise CommandFailed("lvm", FAILED, f"unexpected transaction id of thin pool {vg}/{source.pool}")
            lv = Lv(name, group.new_uuid(name), source.size, tags, pool=source.pool)
            group.add_snapshot(lv, source)
            group.volumes[name] = lv

    @effect("lvm.remove")
    async def remove(self, name: str, *, vg: str) -> None:
        """See ``Lvm.remove``."""
        self._reports.change()
        async with self._one_by_one:
            group, lv = self._lv(vg, name)
            if lv.own_pool is not None and lv.own_pool.space.thins:
                raise Busy(f"thin pool {vg}/{name} still has volumes")
            self._deactivate(group, lv)
            group.give_back(lv)
            del group.volumes[name]

    @effect("lvm.extend")
    async def extend(self, name: str, *, vg: str, size: int, metadata_only: bool) -> None:
        """See ``Lvm.extend``. Refuses to shrink."""
        self._reports.change()
        async with self._one_by_one:
            group, lv = self._lv(vg, name)
            _check_size(group, size)
            if size < lv.size:
                raise CommandFailed("lvm", FAILED, f"New size given ({size}) not larger than existing size ({lv.size})")
            if not lv.pool:
                data, legs = _take(group, size - lv.size, lv.layout, lv.stripes)
                lv.extents, lv.legs = lv.extents + data, lv.legs + legs
                size = lv.size + len(data) * group.extent
            lv.size = size
            if lv.own_pool is not None:
                lv.own_pool.space.size = size
            elif not metadata_only and (node := self._node(group, name)) is not None:
                self._load(group, lv, node)

    @effect("lvm.create_group")
    async def create_group(self, vg: str, *, disks: tuple[str, ...], tags: frozenset[str]) -> None:
        """See ``Lvm.create_group``. Over one disk."""
        self._reports.change()
        async with self._one_by_one:
            if vg in self._machine.groups:
                raise Incompatible(f"A volume group called {vg} already exists.")
            node = self._machine.node_at(disks[0])
            if not isinstance(node, Disk) or len(disks) > 1:
                raise CommandFailed("lvm", FAILED, f"No device found for {', '.join(disks)}.")
            node.store.apply(writing(512, b"LABELONE"))
            self._machine.groups[vg] = made = Group(vg, node, (node.size - DATA_START) // (4 * MIB), 4 * MIB)
            made.tags = tags

    @effect("lvm.create_pool")
    async def create_pool(self, name: str, *, vg: str, size: int, metadata: int) -> None:
        """See ``Lvm.create_pool``."""
        self._reports.change()
        async with self._one_by_one:
            group = self._check_new(vg, name, size, frozenset())
            if size + 2 * metadata > len(group.free_extents) * group.extent:
                raise NoCapacity(f'Volume group "{vg}" has insufficient free space')
            group.add_pool(name, size, metadata_size=metadata).space.queues = True
            self._activate(group, group.volumes[name])

    @effect("lvm.grow_pool")
    async def grow_pool(self, name: str, *, vg: str, data: int = 0, metadata: int = 0) -> None:
        """See ``Lvm.grow_pool``. The spare grows with the metadata."""
        self._reports.change()
        async with self._one_by_one:
            group, lv = self._lv(vg, name)
            pool = lv.own_pool
            if pool is None:
                raise CommandFailed("lvm", FAILED, f"{vg}/{name} is no thin pool")
            for more, times in ((metadata - pool.metadata_size, 2), (data - lv.size, 1)):
                if more > 0:
                    lv.extents += _take(group, times * more, Layout.THICK, 1)[0]
            pool.metadata_size = max(metadata, pool.metadata_size)
            lv.size = pool.space.size = max(data, lv.size)
            self._machine.network.pulse.fire()

    @effect("lvm.set_when_full")
    async def set_when_full(self, name: str, *, vg: str, fail: bool) -> None:
        """See ``Lvm.set_when_full``."""
        self._reports.change()
        async with self._one_by_one:
            _, lv = self._lv(vg, name)
            if lv.own_pool is None:
                raise CommandFailed("lvm", FAILED, f"{vg}/{name} is no thin pool")
            lv.own_pool.space.queues = not fail
            self._machine.network.pulse.fire()

    @effect("lvm.change_tags")
    async def change_tags(self, name: str, *, vg: str, add: frozenset[str], remove: frozenset[str]) -> None:
        """See ``Lvm.change_tags``."""
        number = self._reports.change()
        async with self._one_by_one:
            _, lv = self._lv(vg, name)
            _check_tags(add | remove)
            lv.tags = (lv.tags - remove) | add
        self._reports.tagged(vg, name, number, add=add, remove=remove)

    @effect("lvm.activate")
    async def activate(self, name: str, *, vg: str) -> None:
        """See ``Lvm.activate``."""
        self._reports.change()
        async with self._one_by_one:
            group, lv = self._lv(vg, name)
            if self._node(group, name) is None:
                self._activate(group, lv)

    @effect("lvm.deactivate")
    async def deactivate(self, name: str, *, vg: str) -> None:
        """See ``Lvm.deactivate``."""
        self._reports.change()
        async with self._one_by_one:
            group, lv = self._lv(vg, name)
            self._deactivate(group, lv)

    async def close(self) -> None:
        """See ``Lvm.close``."""
        async with self._one_by_one:
            return

    def _group(self, vg: str) -> Group:
        if vg not in self._machine.groups:
            raise NotFound(f'Volume group "{vg}" not found')
        return self._machine.groups[vg]

    def _lv(self, vg: str, name: str) -> tuple[Group, Lv]:
        group = self._group(vg)
        if name not in group.volumes:
            raise NotFound(f'Failed to find logical volume "{vg}/{name}"')
        return group, group.volumes[name]

    def _check_new(self, vg: str, name: str, size: int, tags: frozenset[str]) -> Group:
        group = self._group(vg)
        # dm's own limit counts vg and lv together, hyphens doubled.
        if not _NAME.fullmatch(name) or _RESERVED.search(name) or len(group.dm_name(name)) > 127:
            raise CommandFailed("lvm", MALFORMED, f'Logical volume name "{name}" is invalid.')
        _check_tags(tags)
        _check_size(group, size)
        if name in group.volumes:
            raise Incompatible(f'Logical Volume "{name}" already exists in volume group "{vg}"')
        if group.metadata_free < TEXT_PER_VOLUME:
            raise NoCapacity(f"VG {vg} metadata too large for its area")
        if group.missing:
            raise CommandFailed("lvm", FAILED, f"Cannot change VG {vg} while PVs are missing.")
        return group

    def _node(self, group: Group, name: str) -> Mapped | None:
        return self._machine.kernel.named(group.dm_name(name))

    def _activate(self, group: Group, lv: Lv) -> None:
        if lv.own_pool is not None:
            self._pool_node(group, lv)
            return
        kernel = self._machine.kernel
        node = Mapped(kernel.pulse, group.dm_name(lv.name), group.dm_uuid(lv), 0)
        if lv.pool:
            self._pool_node(group, group.volumes[lv.pool])
        node.devno = (DM_MAJOR, kernel.free_minor(DM_MAJOR))
        node.name = f"dm-{node.devno[1]}"
        self._load(group, lv, node)
        kernel.add(node)

    def _load(self, group: Group, lv: Lv, node: Mapped) -> None:
        pool = self._pool_node(group, group.volumes[lv.pool]) if lv.pool else None
        old = node.live
        node.live = self._machine.kernel.open_table(group.table(lv, pool.devno if pool else None))
        if old is not None:
            old.release()

    def _pool_node(self, group: Group, pool: Lv) -> PoolNode:
        assert pool.own_pool is not None  # noqa: S101  # the callers looked
        kernel = self._machine.kernel
        for node in kernel.nodes.values():
            if isinstance(node, PoolNode) and node.space is pool.own_pool.space:
                return node
        devno, own = (DM_MAJOR, kernel.free_minor(DM_MAJOR)), pool.own_pool
        made = PoolNode(kernel.pulse, devno, own.space, group.disk, own.metadata)
        made.dm_name = f"{group.dm_name(pool.name)}-tpool"
        kernel.add(made)
        return made

    def _deactivate(self, group: Group, lv: Lv) -> None:
        node = self._node(group, lv.name)
        if node is None:
            return
        if node.opens:
            raise Busy(f"Logical volume {group.name}/{lv.name} in use.")
        drop(self._machine, node)

    def _row(self, group: Group, lv: Lv) -> LogicalVolume:
        node, pool = self._node(group, lv.name), lv.own_pool
        return LogicalVolume(
            vg=group.name,
            name=lv.name,
            uuid=lv.uuid,
            size=lv.size,
            tags=lv.tags,
            pool=lv.pool,
            layout="thin-pool" if pool else "thin" if lv.pool else _LAYOUTS.get(lv.layout, lv.layout.value),
            active=node is not None or (pool is not None and self._pool_is_up(pool)),
            devno=node.devno if node else None,
            thin_id=lv.thin_id,
            data_percent=self._data_percent(group, lv, node),
            metadata_percent=pool.metadata_percent if pool and self._shows(pool) else 0.0,
            metadata_size=pool.metadata_size if pool else 0,
            zeroing=pool is not None,
            data_layout="linear" if pool else "",
            when_full=("queue" if pool.space.queues else "error") if pool else "",
            sync_percent=100.0 if lv.legs else None,
            health="partial" if group.missing and lv.legs else "",
        )

    def _data_percent(self, group: Group, lv: Lv, node: Mapped | None) -> float:
        if lv.own_pool is not None:
            return lv.own_pool.data_percent if self._shows(lv.own_pool) else 0.0
        thin = _thin_of(group, lv)
        return 100 * CHUNK * len(thin.chunks) / lv.size if thin and node else 0.0

    def _shows(self, pool: Pool) -> bool:
        """LVM reads a pool's figures from the kernel: an inactive one has none."""
        return pool.is_set or self._pool_is_up(pool)

    def _pool_is_up(self, pool: Pool) -> bool:
        nodes = self._machine.kernel.nodes.values()
        return any(isinstance(node, PoolNode) and node.space is pool.space for node in nodes)


def _thin_of(group: Group, lv: Lv) -> Thin | None:
    """What the pool holds of a thin LV; None for others."""
    pool = group.volumes[lv.pool].own_pool if lv.pool else None
    return pool.space.thins[lv.thin_id] if pool and lv.thin_id is not None else None


def _check_tags(tags: frozenset[str]) -> None:
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise CommandFailed("lvm", MALFORMED, f"Tag {tag!r} has characters that LVM does not allow")


def _check_size(group: Group, size: int) -> None:
    if size <= 0 or size % group.extent or size % SECTOR:
        raise InvalidRequest(f"{size} bytes is not a multiple of the extent, {group.extent} bytes")


def _check_threshold(pool: Pool, name: str) -> None:
    # LVM keeps 4 MiB, or a quarter of a small one, of a pool's metadata free for growing (pool_below_threshold).
    most = max(75.0, 100 - 100 * 4 * MIB / pool.metadata_size)
    if pool.data_percent >= 100 or pool.metadata_percent >= most:
        raise NoCapacity(f"Cannot create new thin volume, free space in thin pool {name} reached threshold.")


_LAYOUTS = {Layout.THICK: "linear"}
"""LVM's word, where it is not ours."""


def _disk(group: Group, number: int) -> PhysicalVolume:
    share = group.extents // group.disks * group.extent
    name = f"/dev/{group.disk.name}" + (str(number + 1) if group.disks > 1 else "")
    return PhysicalVolume(name, share, len(group.free_on(number)) * group.extent, missing=number < group.missing)


def _take(group: Group, size: int, layout: Layout, stripes: int) -> tuple[list[int], list[int]]:
    try:
        return group.take_spread(size, layout, stripes)
    except ValueError as error:
        raise NoCapacity(f'Volume group "{group.name}" has insufficient free space: {error}') from error
