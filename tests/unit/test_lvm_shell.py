"""``LvmShell`` and ``kit.shell.Child`` over a program that stands for lvm."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from csi_driver.errors import Busy, InternalError, NotFound, StillWorking, Unavailable
from csi_driver.host.lvm import LvmShell
from csi_driver.kit.effects import Effects
from csi_driver.settings import AgentSettings
from tests.unit.lvm_outputs import CREATED, NO_GROUP, REPORT, refused

FAKE = """#!{python}
import os, sys, time
from pathlib import Path
folder = Path(os.environ["LVM_SYSTEM_DIR"]).parent / "answers"
seen = folder / "seen"
assert (Path(os.environ["LVM_SYSTEM_DIR"]) / "lvm.conf").exists()
with seen.open("a") as log:
    log.write("started\\n")
for line in sys.stdin:
    command = line.split()[0]
    with seen.open("a") as log:
        log.write(command + "\\n")
    print("noise on stdout", flush=True)
    scripts = sorted(folder.glob(command + ".*"))
    script = scripts[0]
    if len(scripts) > 1:
        script.rename(folder / ("used-" + script.name))
        script = folder / ("used-" + script.name)
    answer = script.read_bytes()
    if answer == b"die":
        print("fatal: a bug", file=sys.stderr)
        sys.exit(134)
    while (folder / "wait").exists():
        time.sleep(0.01)
    for start in range(0, len(answer), 100):
        os.write(int(os.environ["LVM_REPORT_FD"]), answer[start:start + 100])
with seen.open("a") as log:
    log.write("ended\\n")
"""


class Fake:
    """Scripts the program: the answers to a command in order, the last one for ever."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answers"
        self.folder.mkdir()
        self.program = folder / "lvm-program"
        self.program.write_text(FAKE.format(python=sys.executable))
        self.program.chmod(0o755)

    def answer(self, command: str, *answers: bytes) -> None:
        for number, answer in enumerate(answers):
            (self.folder / f"{command}.{number}").write_bytes(answer)

    def hold(self) -> None:
        (self.folder / "wait").touch()

    def let_go(self) -> None:
        (self.folder / "wait").unlink()

    def seen(self) -> list[str]:
        log = self.folder / "seen"
        return log.read_text().split() if log.exists() else []

    async def has_seen(self, count: int) -> None:
        """Returns when it has begun ``count`` things."""
        for _ in range(1000):
            if len(self.seen()) >= count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.seen())


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    return Fake(tmp_path)


@pytest.fixture
async def shell(tmp_path: Path, fake: Fake) -> AsyncIterator[LvmShell]:
    made = LvmShell(tmp_path / "lvm", AgentSettings(), Effects(), program=str(fake.program))
    yield made
    await made.close()


async def create(shell: LvmShell, name: str = "vol-a") -> None:
    await shell.create_thick(name, vg="vg0", size=4 << 20, tags=frozenset())


async def test_one_process_answers_many_commands(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", REPORT)
    fake.answer("lvcreate", CREATED)
    assert fake.seen() == []
    assert len((await shell.group("vg0")).volumes) == 3
    await create(shell)
    assert len((await shell.group("vg0")).volumes) == 3
    await shell.close()
    assert fake.seen() == ["started", "fullreport", "lvcreate", "fullreport", "ended"]


async def test_failures_are_raised_by_meaning(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", NO_GROUP)
    with pytest.raises(NotFound):
        await shell.group("nosuch")


async def test_commands_are_run_one_after_the_other(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", CREATED)
    fake.answer("lvchange", CREATED)
    fake.hold()
    tasks = [asyncio.create_task(create(shell)), asyncio.create_task(shell.activate("vol-a", vg="vg0"))]
    await fake.has_seen(2)
    await asyncio.sleep(0.05)
    assert fake.seen() == ["started", "lvcreate"]
    fake.let_go()
    await asyncio.gather(*tasks)
    assert fake.seen() == ["started", "lvcreate", "lvchange"]


async def test_a_cancelled_caller_leaves_the_command_and_the_queue_alone(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", CREATED)
    fake.answer("fullreport", REPORT)
    fake.hold()
    making = asyncio.create_task(create(shell))
    await fake.has_seen(2)
    reading = asyncio.create_task(shell.group("vg0"))
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    fake.let_go()
    assert (await reading).name == "vg0"
    assert fake.seen() == ["started", "lvcreate", "fullreport"]


async def test_a_change_that_killed_the_shell_may_be_done(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", b"die", CREATED)
    with pytest.raises(StillWorking, match=r"status 134: [^:]*fatal: a bug"):
        await create(shell)
    await create(shell)
    assert fake.seen() == ["started", "lvcreate", "started", "lvcreate"]


async def test_a_report_that_killed_the_shell_is_asked_for_once_more(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", b"die", REPORT, b"die", b"die", REPORT)
    assert (await shell.group("vg0")).name == "vg0"
    with pytest.raises(StillWorking):
        await shell.group("vg0")
    assert (await shell.group("vg0")).name == "vg0"
    assert fake.seen().count("started") == 4


async def test_busy_is_tried_again_and_then_raised(shell: LvmShell, fake: Fake) -> None:
    in_use = refused("Logical volume vg0/vol-a in use.")
    fake.answer("fullreport", REPORT)
    fake.answer("lvremove", in_use, in_use, CREATED)
    await shell.remove("vol-a", vg="vg0")
    assert fake.seen().count("lvremove") == 3
    fake.answer("lvchange", in_use)
    with pytest.raises(Busy):
        await shell.deactivate("vol-a", vg="vg0")
    assert fake.seen().count("lvchange") == 4


async def test_a_pool_with_volumes_never_reaches_lvremove(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", REPORT)
    fake.answer("lvremove", CREATED)
    with pytest.raises(Busy):
        await shell.remove("pool", vg="vg0")
    assert "lvremove" not in fake.seen()


async def test_extend_to_the_size_it_has_is_fine(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvextend", refused("No size change."))
    await shell.extend("vol-a", vg="vg0", size=4 << 20, metadata_only=True)


async def test_close_waits_for_the_running_command_and_takes_no_more(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", CREATED)
    fake.hold()
    making = asyncio.create_task(create(shell))
    await fake.has_seen(2)
    closing = asyncio.create_task(shell.close())
    await asyncio.sleep(0.05)
    assert not closing.done()
    fake.let_go()
    await asyncio.gather(making, closing)
    assert fake.seen() == ["started", "lvcreate", "ended"]
    with pytest.raises(Unavailable):
        await shell.group("vg0")


async def test_a_missing_program_is_an_error_that_says_so(tmp_path: Path) -> None:
    shell = LvmShell(tmp_path / "lvm", AgentSettings(), Effects(), program=str(tmp_path / "nothing"))
    with pytest.raises(InternalError, match="not installed"):
        await shell.group("vg0")


async def test_a_recent_report_will_do_until_something_is_changed(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", REPORT)
    fake.answer("lvcreate", CREATED)
    first = await shell.group("vg0")
    assert await shell.group("vg0", within=60) is first
    await create(shell)
    await shell.group("vg0", within=60)
    await shell.group("vg0")
    await shell.group("vg0", within=1e-9)
    assert fake.seen() == ["started", "fullreport", "lvcreate", "fullreport", "fullreport", "fullreport"]


async def test_a_report_that_a_change_stands_behind_is_not_recent(shell: LvmShell, fake: Fake) -> None:
    fake.answer("fullreport", REPORT)
    fake.answer("lvcreate", CREATED)
    fake.hold()
    tasks = [asyncio.create_task(shell.group("vg0")), asyncio.create_task(create(shell))]
    await fake.has_seen(2)
    fake.let_go()
    await asyncio.gather(*tasks)
    await shell.group("vg0", within=60)
    assert fake.seen() == ["started", "fullreport", "lvcreate", "fullreport"]


async def thin(shell: LvmShell) -> None:
    await shell.create_thin("vol-a", vg="vg0", pool="pool", size=4 << 20, tags=frozenset(), pool_is_up=True)


async def test_a_pool_that_went_down_is_brought_up_with_udev(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", refused("Failed to activate thin pool vg0/pool."), CREATED)
    await thin(shell)
    assert fake.seen() == ["started", "lvcreate", "lvcreate"]


async def test_what_no_wait_for_udev_would_mend_is_raised_at_once(shell: LvmShell, fake: Fake) -> None:
    fake.answer("lvcreate", NO_GROUP)
    with pytest.raises(NotFound):
        await thin(shell)
    assert fake.seen() == ["started", "lvcreate"]


async def test_a_volume_that_a_failed_create_left_is_to_be_looked_at(shell: LvmShell, fake: Fake) -> None:
    exists = 'Logical Volume "vol-a" already exists in volume group "vg0"'
    fake.answer("lvcreate", refused("Failed to activate thin pool vg0/pool."), refused(exists))
    with pytest.raises(StillWorking):
        await thin(shell)
