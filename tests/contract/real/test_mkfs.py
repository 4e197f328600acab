"""The formatter on real devices."""

from __future__ import annotations

import pytest

from csi_driver.errors import Incompatible
from csi_driver.host.formatter import Mkfs
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, HostRunner
from csi_driver.model.access import FsType
from csi_driver.model.sizes import MIB
from tests.contract.storage import POOL, VG, Storage, devno

SIZE = 400 * MIB


@pytest.fixture
async def path(storage: Storage) -> str:
    """Of a volume of 400 MiB that was just made."""
    await storage.lvm.create_thin("vol-below", vg=VG, pool=POOL, size=SIZE, tags=frozenset())
    return f"/dev/dm-{devno((await storage.lvm.group(VG)).volume('vol-below'))[1]}"


@pytest.fixture
def mkfs() -> Mkfs:
    return Mkfs(HostRunner(), Effects())


async def fs_on(path: str) -> str:
    return (await HostRunner().run(Command(argv=("blkid", "-p", "-o", "value", "-s", "TYPE", path)))).stdout.strip()


@pytest.mark.parametrize("fs", FsType)
async def test_a_file_system_is_made_once(mkfs: Mkfs, path: str, fs: FsType) -> None:
    label = ("-L", "hello")
    await mkfs.make(path, fs=fs, options=label)
    assert await fs_on(path) == fs.value
    check = ("e2fsck", "-fn", path) if fs is FsType.EXT4 else ("xfs_repair", "-n", path)
    await HostRunner().run(Command(argv=check))
    for other in FsType:
        with pytest.raises(Incompatible):
            await mkfs.make(path, fs=other, options=())
    assert await fs_on(path) == fs.value


@pytest.mark.parametrize("offset", [0, 512, 64 * 1024, MIB - 4096, SIZE - MIB, SIZE - 4096])
async def test_anything_at_either_end_is_left_alone(storage: Storage, mkfs: Mkfs, path: str, offset: int) -> None:
    below = devno((await storage.lvm.group(VG)).volume("vol-below"))
    block = offset // 4096 * 4096
    data = bytearray(4096)
    data[offset - block] = 1
    await storage.write(below, block, bytes(data))
    for fs in FsType:
        with pytest.raises(Incompatible):
            await mkfs.make(path, fs=fs, options=())
    assert await storage.read(below, block, 4096) == data
