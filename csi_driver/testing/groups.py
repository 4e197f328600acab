"""Volume groups of a simulated machine: extents, logical volumes and thin pools, as they stand on disk."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from itertools import pairwise

from csi_driver.host.doors import DmLine, numbers
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.model.volume import Layout
from csi_driver.testing.nodes import Devno, Disk, Thin, ThinSpace

DATA_START = MIB
"""Where the first extent begins on the disk (LVM's default alignment)."""
METADATA_AREA = 64 * MIB
TEXT_PER_VOLUME = 1050
"""Bytes of LVM metadata per LV with tags, as measured (mechanisms.md 7)."""


def lvm_uuid(*words: str) -> str:
    """A uuid in LVM's spelling, the same for the same words."""
    digits = hashlib.sha256("/".join(words).encode()).hexdigest()[:32]
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(digits[start:end] for start, end in pairwise(cuts))


@dataclass
class Pool:
    """A thin pool's own facts. ``metadata_percent`` counts its volumes unless a test sets it."""

    space: ThinSpace
    metadata_size: int
    next_id: int = 1
    set_data: float | None = None
    set_metadata: float | None = None

    @property
    def is_set(self) -> bool:
        """Whether a test said what the figures are."""
        return self.set_data is not None or self.set_metadata is not None

    @property
    def data_percent(self) -> float:
        """Of its data, mapped."""
        return self.set_data if self.set_data is not None else 100 * self.space.used / self.space.size

    def metadata(self) -> tuple[int, int]:
        """Bytes of it that are used, and all."""
        return int(self.metadata_size * self.metadata_percent / 100), self.metadata_size

    @property
    def metadata_percent(self) -> float:
        """Of its metadata, used: 64 KiB to begin with, a block per volume and about 40 bytes per chunk."""
        if self.set_metadata is not None:
            return self.set_metadata
        chunks = sum(len(thin.chunks) for thin in self.space.thins.values())
        used = 64 * 1024 + 4096 * len(self.space.thins) + 40 * chunks
        return min(100.0, 100 * used / self.metadata_size)


@dataclass
class Lv:
    """One LV as its metadata has it. Either ``extents`` of the disk or a thin id in a pool."""

    name: str
    uuid: str
    size: int
    tags: frozenset[str] = frozenset()
    extents: list[int] = field(default_factory=list)
    pool: str = ""
    thin_id: int | None = None
    own_pool: Pool | None = None
    """Set when this LV is a thin pool."""
    layout: Layout = Layout.THICK
    """Of one with extents. A raid's data stands in ``extents`` once; what its other legs take is in ``legs``."""
    legs: list[int] = field(default_factory=list)
    stripes: int = 1


class Group:
    """A volume group on one disk, or on several: equal parts of the one, each of which counts as a disk."""

    def __init__(self, name: str, disk: Disk, extents: int, extent: int, disks: int = 1) -> None:
        self.name, self.disk, self.extent, self.disks = name, disk, extent, disks
        self.uuid = lvm_uuid("vg", name, disk.name)
        self.volumes: dict[str, Lv] = {}
        self.free_extents: list[int] = list(range(extents))
        self.extents = extents
        self.missing = 0
        self.metadata_size = METADATA_AREA
        self.tags: frozenset[str] = frozenset()
        self.made = 0

    @property
    def metadata_free(self) -> int:
        """Bytes of text that LVM can still write: half the area, as both copies of a change lie in it."""
        return max(self.metadata_size // 2 - TEXT_PER_VOLUME * len(self.volumes), 0)

    def new_uuid(self, name: str) -> str:
        """For a new LV: never used before, though the name may have been."""
        self.made += 1
        return lvm_uuid("lv", self.uuid, name, str(self.made))

    def add_pool(self, name: str, size: int, *, metadata_size: int = 8 * MIB) -> Pool:
        """A thin pool with its metadata and the spare, which take extents too."""
        taken = self.take(size + 2 * metadata_size)
        pool = Pool(ThinSpace(size), metadata_size)
        self.volumes[name] = Lv(name, self.new_uuid(name), size, extents=taken, own_pool=pool)
        return pool

    def take(self, size: int) -> list[int]:
        """Free extents for ``size`` bytes, lowest first. ValueError when there are too few."""
        count = -(-size // self.extent)
        if count > len(self.free_extents):
            raise ValueError(f"{count} extents asked for, {len(self.free_extents)} free")
        taken, self.free_extents = self.free_extents[:count], self.free_extents[count:]
        return taken

    def free_on(self, disk: int) -> list[int]:
        """The free extents of one of the disks, lowest first."""
        return [number for number in self.free_extents if number * self.disks // self.extents == disk]

    def take_spread(self, size: int, layout: Layout, stripes: int) -> tuple[list[int], list[int]]:
        """Free extents for ``size`` bytes in that layout: the data's, and all other legs'. ValueError as ``take``."""
        if layout is Layout.THICK:
            return self.take(size), []
        copies = 1 if layout is Layout.STRIPED else 2
        stripes = 1 if layout is Layout.RAID1 else stripes
        each = -(-size // (self.extent * stripes))
        with_metadata = each + (1 if copies > 1 else 0)
        rooms = sorted((self.free_on(disk) for disk in range(self.disks)), key=len, reverse=True)[: stripes * copies]
        if len(rooms) < stripes * copies or len(rooms[-1]) < with_metadata:
            raise ValueError(f"{with_metadata} extents on each of {stripes * copies} disks asked for")
        data = [number for room in rooms[:stripes] for number in room[:each]]
        taken = {number for room in rooms for number in room[:with_metadata]}
        self.free_extents = [number for number in self.free_extents if number not in taken]
        return data, sorted(taken - set(data))

    def give_back(self, lv: Lv) -> None:
        """Free what an LV had. The bytes of a thick one stay on the disk; a thin one's are dropped."""
        self.free_extents = sorted(self.free_extents + lv.extents + lv.legs)
        pool = self.volumes[lv.pool].own_pool if lv.pool else None
        if pool is not None and lv.thin_id is not None:
            del pool.space.thins[lv.thin_id]

    def add_thin(self, lv: Lv) -> None:
        """Give a new thin LV its place in the pool."""
        pool = self.volumes[lv.pool].own_pool
        assert pool is not None  # noqa: S101  # the caller looked
        lv.thin_id, pool.next_id = pool.next_id, pool.next_id + 1
        pool.space.thins[lv.thin_id] = Thin()

    def add_snapshot(self, lv: Lv, source: Lv) -> None:
        """Give a new thin LV its place in the pool, with all that ``source`` holds now."""
        self.add_thin(lv)
        pool = self.volumes[lv.pool].own_pool
        assert pool is not None  # noqa: S101  # the caller looked
        assert lv.thin_id is not None  # noqa: S101  # it was given just now
        assert source.thin_id is not None  # noqa: S101  # it lies in the pool
        pool.space.thins[lv.thin_id] = pool.space.thins[source.thin_id].copy()

    def table(self, lv: Lv, pool_devno: Devno | None) -> tuple[DmLine, ...]:
        """The dm table that LVM loads for an LV."""
        if pool_devno is not None:
            return (DmLine(0, lv.size // SECTOR, "thin", f"{numbers(pool_devno)} {lv.thin_id}"),)
        sectors = self.extent // SECTOR
        below = numbers(self.disk.devno)
        return tuple(
            DmLine(index * sectors, sectors, "linear", f"{below} {(DATA_START + number * self.extent) // SECTOR}")
            for index, number in enumerate(lv.extents)
        )

    def dm_name(self, lv_name: str) -> str:
        """The dm name LVM gives: hyphens doubled on both sides."""
        return f"{self.name.replace('-', '--')}-{lv_name.replace('-', '--')}"

    def dm_uuid(self, lv: Lv, layer: str = "") -> str:
        """The dm uuid LVM gives."""
        return f"LVM-{self.uuid.replace('-', '')}{lv.uuid.replace('-', '')}{layer}"
