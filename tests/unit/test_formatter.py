"""mkfs's command line, and what it is never run on. A file stands for the device."""

from __future__ import annotations

from pathlib import Path

import pytest

from csi_driver.errors import CommandFailed, Incompatible
from csi_driver.host.formatter import Mkfs, arguments
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, Result
from csi_driver.model.access import FsType
from csi_driver.model.sizes import MIB

SIZE = 8 * MIB


class Recorder:
    """A runner that remembers, and fails if told so."""

    def __init__(self, *, fails: bool = False) -> None:
        self.ran: list[Command] = []
        self._fails = fails

    async def run(self, command: Command) -> Result:
        self.ran.append(command)
        if self._fails:
            raise CommandFailed(command.argv[0], 1, "no")
        return Result(0, "", "")


@pytest.fixture
def device(tmp_path: Path) -> Path:
    path = tmp_path / "device"
    with path.open("wb") as file:
        file.truncate(SIZE)
    return path


def put(device: Path, offset: int) -> None:
    with device.open("r+b") as file:
        file.seek(offset)
        file.write(b"\x01")


@pytest.mark.parametrize("fs", FsType)
def test_nothing_is_forced_and_the_callers_options_come_last(fs: FsType) -> None:
    words = arguments("/dev/dm-3", fs, ("-L", "label"))
    assert words[0] == f"mkfs.{fs.value}"
    assert words[-3:] == ("-L", "label", "/dev/dm-3")
    assert not {"-F", "-f", "-ff", "-FF"} & set(words)


async def test_a_blank_device_is_formatted_with_nothing_to_answer_questions_with(device: Path) -> None:
    runner = Recorder()
    put(device, SIZE // 2)
    await Mkfs(runner, Effects()).make(str(device), fs=FsType.EXT4, options=())
    (command,) = runner.ran
    assert command.argv == arguments(str(device), FsType.EXT4, ())
    assert command.stdin == b""


@pytest.mark.parametrize("offset", [0, 510, 1080, 65536 + 64, MIB - 1, SIZE - MIB, SIZE - 1])
@pytest.mark.parametrize("fs", FsType)
async def test_a_device_with_anything_at_either_end_is_not(device: Path, offset: int, fs: FsType) -> None:
    runner = Recorder()
    put(device, offset)
    with pytest.raises(Incompatible):
        await Mkfs(runner, Effects()).make(str(device), fs=fs, options=())
    assert runner.ran == []


async def test_a_device_of_no_size_is_not(tmp_path: Path) -> None:
    path = tmp_path / "device"
    path.touch()
    runner = Recorder()
    with pytest.raises(Incompatible):
        await Mkfs(runner, Effects()).make(str(path), fs=FsType.XFS, options=())
    assert runner.ran == []


async def test_its_failure_is_raised(device: Path) -> None:
    with pytest.raises(CommandFailed):
        await Mkfs(Recorder(fails=True), Effects()).make(str(device), fs=FsType.XFS, options=())


class Old(Recorder):
    """mke2fs before 1.47."""

    async def run(self, command: Command) -> Result:
        self.ran.append(command)
        if any("assume_storage_prezeroed" in word for word in command.argv):
            raise CommandFailed(command.argv[0], 1, "Bad option(s) specified: assume_storage_prezeroed")
        return Result(0, "", "")


async def test_a_blank_device_is_not_zeroed_again(device: Path) -> None:
    runner = Recorder()
    await Mkfs(runner, Effects()).make(str(device), fs=FsType.EXT4, options=(), blank=True)
    (command,) = runner.ran
    assert any(word.endswith(",assume_storage_prezeroed=1") for word in command.argv)
    assert not any("prezeroed" in word for word in arguments(str(device), FsType.EXT4, ()))


async def test_an_old_mkfs_zeroes_a_blank_device(device: Path) -> None:
    runner = Old()
    await Mkfs(runner, Effects()).make(str(device), fs=FsType.EXT4, options=(), blank=True)
    assert runner.ran[-1].argv == arguments(str(device), FsType.EXT4, ())
    assert len(runner.ran) == 2


async def test_another_failure_on_a_blank_device_is_raised_at_once(device: Path) -> None:
    runner = Recorder(fails=True)
    with pytest.raises(CommandFailed):
        await Mkfs(runner, Effects()).make(str(device), fs=FsType.EXT4, options=(), blank=True)
    assert len(runner.ran) == 1
