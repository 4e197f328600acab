"""The lvm shell itself: its death, its callers' impatience, what it does to a pool, what it costs."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from csi_driver.errors import Busy, NotFound, StillWorking, Unavailable
from csi_driver.host import wrapper
from csi_driver.host.doors import numbers
from csi_driver.host.lvm import LvmShell, commands
from csi_driver.kit.effects import Effects
from csi_driver.kit.run import Command, HostRunner
from csi_driver.model.sizes import MIB, SECTOR
from csi_driver.settings import AgentSettings
from tests.contract.storage import LVM_DEVICES, POOL, VG, Storage, devno

SIZE = 64 * MIB
TAGS = frozenset({"clinker.id=vol-a"})


@pytest.fixture
async def shell(storage: Storage) -> LvmShell:
    assert isinstance(storage.lvm, LvmShell)
    await storage.lvm.group(VG)
    return storage.lvm


def child_of(shell: LvmShell) -> int:
    assert shell._child is not None
    return shell._child.pid


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def ended(pid: int) -> bool:
    """Whether it is gone, or waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def names(shell: LvmShell) -> set[str]:
    return {lv.name for lv in (await shell.group(VG)).volumes}


async def create(shell: LvmShell, name: str) -> None:
    await shell.create_thin(name, vg=VG, pool=POOL, size=SIZE, tags=TAGS)


async def test_a_shell_that_was_killed_is_started_again(shell: LvmShell) -> None:
    before = child_of(shell)
    os.kill(before, signal.SIGKILL)
    assert await names(shell) == {POOL}
    assert child_of(shell) != before
    await create(shell, "vol-a")
    assert await names(shell) == {POOL, "vol-a"}


async def test_a_change_whose_shell_died_may_be_done(shell: LvmShell) -> None:
    os.kill(child_of(shell), signal.SIGSTOP)
    making = asyncio.create_task(create(shell, "vol-a"))
    await asyncio.sleep(0.2)
    os.kill(child_of(shell), signal.SIGKILL)
    with pytest.raises(StillWorking):
        await making
    if "vol-a" not in await names(shell):
        await create(shell, "vol-a")
    assert await names(shell) == {POOL, "vol-a"}


async def test_a_read_whose_shell_died_is_asked_again(shell: LvmShell) -> None:
    os.kill(child_of(shell), signal.SIGSTOP)
    reading = asyncio.create_task(names(shell))
    await asyncio.sleep(0.2)
    os.kill(child_of(shell), signal.SIGKILL)
    assert await reading == {POOL}


async def test_a_cancelled_caller_leaves_its_command_to_its_end(shell: LvmShell) -> None:
    pid = child_of(shell)
    os.kill(pid, signal.SIGSTOP)
    making = asyncio.create_task(create(shell, "vol-a"))
    await asyncio.sleep(0.2)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    os.kill(pid, signal.SIGCONT)
    assert await names(shell) == {POOL, "vol-a"}
    assert child_of(shell) == pid


async def test_close_lets_the_running_command_end(shell: LvmShell) -> None:
    pid = child_of(shell)
    making = asyncio.create_task(create(shell, "vol-a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await shell.close()
    await making
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(Unavailable):
        await shell.group(VG)


async def test_our_own_death_does_not_hurt_a_running_command(shell: LvmShell, tmp_path: Path) -> None:
    """A process that dies by SIGKILL in the middle of a create leaves a whole volume, and no shell."""
    script = Path(__file__).with_name("die_in_create.py")
    result = await HostRunner().run(
        Command(argv=("python3", str(script), str(tmp_path)), ok=frozenset({-signal.SIGKILL}))
    )
    shell_pid = int(result.stdout.split()[0])
    for _ in range(100):
        if ended(shell_pid):
            break
        await asyncio.sleep(0.1)
    else:
        pytest.fail("the shell lives on")
    lv = (await shell.group(VG)).volume("vol-orphan")
    assert lv is not None
    assert (lv.active, lv.tags) == (True, TAGS)


async def test_another_lvm_sees_what_we_do_and_leaves_our_volumes_off(shell: LvmShell) -> None:
    """The host's own tools work on the same VG; ``vgchange -ay`` of a boot does not activate what is ours."""
    await create(shell, "vol-a")
    await shell.create_thick("vol-b", vg=VG, size=SIZE, tags=TAGS)
    run = HostRunner().run
    listed = await run(Command(argv=("lvs", "--noheadings", "-o", "lv_name", VG)))
    assert {"vol-a", "vol-b"} < set(listed.stdout.split())
    await run(Command(argv=("vgchange", "-an", VG)))
    await run(Command(argv=("vgchange", "-ay", VG)))
    group = await shell.group(VG)
    assert [lv.name for lv in group.volumes if lv.active] == [POOL]
    await shell.activate("vol-a", vg=VG)
    assert (lv := (await shell.group(VG)).volume("vol-a"))
    assert lv.active


@pytest.mark.parametrize("kind", ["thin", "thick"])
async def test_what_another_lvm_switches_on_is_seen_at_once(storage: Storage, shell: LvmShell, kind: str) -> None:
    """A shell that trusted its own list of devices would remove a volume that is open."""
    run = HostRunner().run
    if kind == "thin":
        await create(shell, "vol-a")
    else:
        await shell.create_thick("vol-a", vg=VG, size=SIZE, tags=TAGS)
    for _ in range(2):
        await run(Command(argv=("lvchange", "-an", f"{VG}/vol-a")))
        assert (lv := (await shell.group(VG)).volume("vol-a"))
        assert not lv.active
        await run(Command(argv=("lvchange", "-ay", "-K", f"{VG}/vol-a")))
        lv = (await shell.group(VG)).volume("vol-a")
        assert storage.size(devno(lv)) == SIZE
        await run(Command(argv=("lvchange", "-an", f"{VG}/vol-a")))
        await shell.group(VG)
        await run(Command(argv=("lvchange", "-ay", "-K", f"{VG}/vol-a")))
        with storage.hold(devno(lv)), pytest.raises(Busy):
            await shell.remove("vol-a", vg=VG)
        assert await names(shell) == {POOL, "vol-a"}


@pytest.mark.parametrize("devices", [LVM_DEVICES, ()])
async def test_nothing_of_ours_is_scanned(
    storage: Storage, shell: LvmShell, tmp_path: Path, devices: tuple[str, ...]
) -> None:
    """A PV inside a volume, seen through a wrapper, is no VG here; nor does a held wrapper block any command."""
    await create(shell, "vol-a")
    below = devno((await shell.group(VG)).volume("vol-a"))
    name = "vol-aaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbb"
    device = await wrapper.ensure(storage.dm, name, uuid="CLINKER-x-1", over=below, sectors=SIZE // SECTOR)
    config = "devices { use_devicesfile=0 scan_lvs=1 } backup { backup=0 archive=0 }"
    await HostRunner().run(Command(argv=("vgcreate", "--config", config, "inside", f"/dev/dm-{device.devno[1]}")))
    await storage.dm.suspend(name)
    another = LvmShell(tmp_path, AgentSettings(lvm_devices=devices), Effects())
    async with asyncio.timeout(20):
        with pytest.raises(NotFound):
            await another.group("inside")
        await create(another, "vol-b")
        await another.remove("vol-b", vg=VG)
        await another.close()


async def test_growing_a_thin_volume_leaves_its_neighbours_alone(storage: Storage, shell: LvmShell) -> None:
    """The pool is suspended by lvextend as LVM does it, and not at all by our two steps (kernel.md 8)."""
    for name in ("vol-a", "vol-b"):
        await create(shell, name)
    volumes = {lv.name: lv for lv in (await shell.group(VG)).volumes}
    pool = await storage.dm.find(f"{VG}-{POOL}-tpool")
    assert pool is not None
    state = Path(f"/sys/dev/block/{numbers(pool.devno)}/dm/suspended")

    async def looks_at_a_held_pool(act: Callable[[], Awaitable[None]]) -> int:
        seen = 0
        acting = asyncio.ensure_future(act())
        while not acting.done():
            seen += state.read_text().strip() == "1"
            await asyncio.sleep(0)
        await acting
        return seen

    async def ours() -> None:
        await shell.extend("vol-a", vg=VG, size=2 * SIZE, metadata_only=True)
        await wrapper.thin_extend(storage.dm, vg=VG, lv="vol-a", sectors=2 * SIZE // SECTOR)

    async def lvms() -> None:
        await shell.extend("vol-a", vg=VG, size=3 * SIZE, metadata_only=False)

    assert await looks_at_a_held_pool(ours) == 0
    assert storage.size(devno(volumes["vol-a"])) == 2 * SIZE
    assert await looks_at_a_held_pool(lvms) > 0


async def test_it_reads_quicker_than_a_process_for_each_command(shell: LvmShell) -> None:
    """Interleaved, with the same configuration; the least of each, as what comes on top is the machine's.

    Making and removing is printed only: much of it is udev.
    """
    run = HostRunner(environment={"LVM_SYSTEM_DIR": str(shell._folder)}).run

    def process(line: str) -> Awaitable[object]:
        return run(Command(argv=("lvm", *line.split())))

    acts: dict[str, Callable[[str], Awaitable[object]]] = {
        "read by shell": lambda _: shell.group(VG),
        "read by process": lambda _: process(commands.report(VG)),
        "make by shell": lambda name: create(shell, name),
        "remove by shell": lambda name: shell.remove(name, vg=VG),
        "make by process": lambda name: process(commands.create_thin(name, vg=VG, pool=POOL, size=SIZE, tags=TAGS)),
        "remove by process": lambda name: process(commands.remove(name, vg=VG)),
    }
    times: dict[str, list[float]] = {kind: [] for kind in acts}
    for _ in range(8):
        for kind, act in acts.items():
            await run(Command(argv=("udevadm", "settle")))  # or each pays for what the one before left to udev
            start = time.monotonic()
            await act("vol-a")
            times[kind].append(time.monotonic() - start)
    least = {kind: min(values) for kind, values in times.items()}
    print("least ms:", {kind: round(value * 1000) for kind, value in least.items()})
    assert least["read by shell"] < least["read by process"]


async def test_it_does_not_grow(shell: LvmShell) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{child_of(shell)}/status").read_text().split("VmRSS:")[1].split()[0])

    for _ in range(20):
        await shell.group(VG)
    before = resident()
    for _ in range(200):
        await shell.group(VG)
    assert resident() < before + 512
    assert children(child_of(shell)) == []
