from __future__ import annotations

import struct
from pathlib import Path

import pytest

from csi_driver.errors import NotFound, Precondition
from csi_driver.host.filesystems import KernelFilesystems, ext4_size, xfs_size
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, Result
from csi_driver.model.access import FsType


class Recorder:
    def __init__(self) -> None:
        self.commands: list[tuple[str, ...]] = []

    async def run(self, command: Command) -> Result:
        self.commands.append(command.argv)
        return Result(0, "", "")


def ext4(blocks: int, *, log_block: int = 2, incompat: int = 0x2C2) -> bytes:
    content = bytearray(4096)
    struct.pack_into("<I", content, 1024 + 0x4, blocks & 0xFFFFFFFF)
    struct.pack_into("<I", content, 1024 + 0x18, log_block)
    struct.pack_into("<H", content, 1024 + 0x38, 0xEF53)
    struct.pack_into("<I", content, 1024 + 0x60, incompat)
    struct.pack_into("<I", content, 1024 + 0x150, blocks >> 32)
    return bytes(content)


def test_ext4_sizes() -> None:
    assert ext4_size(ext4(16384)) == 64 << 20
    assert ext4_size(ext4(65536, log_block=0)) == 64 << 20
    assert ext4_size(ext4((1 << 32) + 5)) == ((1 << 32) + 5) * 4096


def test_the_upper_half_counts_with_64bit_only() -> None:
    assert ext4_size(ext4((7 << 32) + 16384, incompat=0x242)) == 64 << 20


def test_xfs_sizes() -> None:
    assert xfs_size(b"XFSB" + struct.pack(">IQ", 4096, 131072) + bytes(100)) == 512 << 20


@pytest.mark.parametrize("content", [b"", bytes(4096), b"XFS", b"\xff" * 1500])
def test_what_is_no_superblock_has_no_size(content: bytes) -> None:
    assert ext4_size(content) is None
    assert xfs_size(content) is None


async def test_a_size_is_read_from_the_device(tmp_path: Path) -> None:
    door = KernelFilesystems(Recorder(), Effects())
    path = tmp_path / "device"
    path.write_bytes(ext4(16384))
    assert await door.size(str(path), fs=FsType.EXT4) == 64 << 20
    path.write_bytes(bytes(4096))
    with pytest.raises(Precondition, match="no ext4"):
        await door.size(str(path), fs=FsType.EXT4)
    with pytest.raises(NotFound):
        await door.size(f"{path}-none", fs=FsType.EXT4)


async def test_only_what_is_mounted_is_grown(tmp_path: Path) -> None:
    runner = Recorder()
    door = KernelFilesystems(runner, Effects())
    device = tmp_path / "device"
    device.touch()
    for path, mountpoint in ((device, tmp_path), (tmp_path / "none", tmp_path), (device, tmp_path / "none")):
        with pytest.raises(Precondition, match="not mounted"):
            await door.grow(str(path), mountpoint=str(mountpoint), fs=FsType.EXT4)
    assert runner.commands == []
