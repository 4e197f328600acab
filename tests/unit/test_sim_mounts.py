"""The simulated mount table and file systems keep the kernel's rules."""

import pytest

from csi_driver.errors import Busy, CommandFailed, Incompatible, InvalidRequest, NotFound, Precondition
from csi_driver.host.dm import tables
from csi_driver.model.access import FsType
from csi_driver.model.sizes import GIB, MIB
from csi_driver.testing.faults import Killed, Recorder
from csi_driver.testing.host import SimHost

SIZE = 64 * MIB
DEVICE = "/dev/mapper/w"
STAGE = "/var/lib/kubelet/stage"
EXT4, XFS = FsType.EXT4, FsType.XFS


@pytest.fixture
async def host() -> SimHost:
    made = SimHost()
    made.add_group("vg0", 4 * GIB)
    await made.lvm.create_thick("lv", vg="vg0", size=SIZE, tags=frozenset())
    await wrap(made, "w", SIZE)
    await made.mounts.make_folder(STAGE)
    return made


async def wrap(host: SimHost, name: str, size: int) -> None:
    below = await host.dm.find("vg0-lv")
    assert below is not None
    await host.dm.create(name, uuid=f"CLINKER-{name}")
    await host.dm.load(name, tables.linear(below.devno, size // 512))
    await host.dm.resume(name)


async def staged(host: SimHost, *options: str) -> None:
    await host.formatter.make(DEVICE, fs=EXT4, options=("-m0",))
    await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=options)


async def fence(host: SimHost) -> None:
    await host.dm.load("w", tables.error(SIZE // 512))
    await host.dm.suspend("w")
    await host.dm.resume("w")
    await host.dm.rename("w", "w.fenced.1")


async def test_device_without_that_file_system_is_not_mounted(host: SimHost) -> None:
    with pytest.raises(Precondition, match="Invalid argument"):
        await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=())
    await host.formatter.make(DEVICE, fs=EXT4, options=())
    with pytest.raises(Precondition, match="Invalid argument"):
        await host.mounts.mount(DEVICE, STAGE, fs=XFS, options=())
    found = await host.dm.find("w")
    assert found is not None
    assert found.open_count == 0


async def test_every_mkfs_is_on_record_and_none_is_forced(host: SimHost) -> None:
    await staged(host)
    await host.mounts.unmount(STAGE)
    with pytest.raises(Incompatible, match="not blank"):
        await host.formatter.make(DEVICE, fs=EXT4, options=())
    assert host.machine.formats == [(DEVICE, "ext4", ("-m0",))]


async def test_mkfs_needs_the_device_for_itself_and_room(host: SimHost) -> None:
    with pytest.raises(CommandFailed, match="too small"):
        await host.formatter.make(DEVICE, fs=XFS, options=())
    with pytest.raises(CommandFailed, match="in use"):
        await host.formatter.make("/dev/mapper/vg0-lv", fs=EXT4, options=())


async def test_files_are_kept_over_mounts(host: SimHost) -> None:
    await staged(host)
    await host.write(f"{STAGE}/a", b"hello")
    await host.write(f"{STAGE}/b", b"world", offset=3)
    await host.mounts.unmount(STAGE)
    with pytest.raises(OSError, match="is on no volume"):
        await host.read(f"{STAGE}/a", 5)
    await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=())
    assert await host.read(f"{STAGE}/a", 5) == b"hello"
    assert await host.read(f"{STAGE}/b", 100) == b"\0\0\0world"


async def test_zeroed_device_has_lost_its_file_system(host: SimHost) -> None:
    await staged(host)
    await host.mounts.unmount(STAGE)
    found = await host.dm.find("w")
    assert found is not None
    await host.devices.zero(found.devno, offset=0, length=MIB)
    with pytest.raises(Precondition, match="Invalid argument"):
        await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=())


async def test_table_has_device_numbers_and_options(host: SimHost) -> None:
    await staged(host, "ro", "noload", "errors=remount-ro")
    (row,) = await host.mounts.table()
    found = await host.dm.find("w")
    assert found is not None
    assert (row.devno, row.root, row.target, row.fs) == (found.devno, "/", STAGE, "ext4")
    assert "ro" in row.options
    assert "errors=remount-ro" in row.super_options
    with pytest.raises(OSError, match="Read-only"):
        await host.write(f"{STAGE}/a", b"x")


async def test_bind_of_a_directory_is_the_same_device(host: SimHost) -> None:
    await staged(host)
    await host.mounts.make_folder("/var/lib/kubelet/pod")
    await host.mounts.bind(STAGE, "/var/lib/kubelet/pod", readonly=True)
    first, second = await host.mounts.table()
    assert first.devno == second.devno
    with pytest.raises(OSError, match="Read-only"):
        await host.write("/var/lib/kubelet/pod/a", b"x")
    await host.write(f"{STAGE}/a", b"x")
    assert await host.read("/var/lib/kubelet/pod/a", 1) == b"x"
    await host.mounts.unmount(STAGE)
    with pytest.raises(Busy):
        await host.dm.remove("w")
    await host.mounts.unmount("/var/lib/kubelet/pod")
    await host.dm.remove("w")


async def test_device_node_is_bound_on_a_file(host: SimHost) -> None:
    path = "/var/lib/kubelet/block"
    with pytest.raises(NotFound):
        await host.mounts.bind("/dev/dm-1", path, readonly=False)
    await host.mounts.make_file(path)
    assert await host.mounts.device_at(path) is None
    await host.mounts.bind("/dev/dm-1", path, readonly=False)
    found = await host.dm.find("w")
    assert found is not None
    assert await host.mounts.device_at(path) == found.devno
    await host.write(path, b"raw", offset=100)
    assert await host.read("/dev/mapper/vg0-lv", 3, offset=100) == b"raw"
    with pytest.raises(Busy):
        await host.mounts.remove(path)
    await host.mounts.unmount(path)
    await host.mounts.remove(path)
    assert not await host.mounts.exists(path)


async def test_busy_mount_stays(host: SimHost) -> None:
    await staged(host)
    host.hold_mount(STAGE)
    with pytest.raises(Busy):
        await host.mounts.unmount(STAGE)
    host.let_go(STAGE)
    await host.mounts.unmount(STAGE)
    await host.mounts.unmount(STAGE)
    assert await host.mounts.table() == ()


async def test_of_two_mounts_on_one_target_the_last_is_seen(host: SimHost) -> None:
    await staged(host)
    await host.mounts.make_folder("/other")
    await host.mounts.bind("/other", STAGE, readonly=False)
    with pytest.raises(OSError, match="is on no volume"):
        await host.write(f"{STAGE}/a", b"x")
    await host.mounts.unmount(STAGE)
    await host.write(f"{STAGE}/a", b"x")


async def test_second_bind_of_the_same_is_no_second_mount(host: SimHost) -> None:
    await staged(host)
    await host.mounts.make_folder("/pod")
    await host.mounts.bind(STAGE, "/pod", readonly=False)
    await host.mounts.bind(STAGE, "/pod", readonly=True)
    assert len(await host.mounts.table()) == 2
    with pytest.raises(OSError, match="Read-only"):
        await host.write("/pod/a", b"x")


async def test_second_mount_on_one_target_or_in_another_mode_is_refused(host: SimHost) -> None:
    await staged(host)
    await host.mounts.make_folder("/other")
    with pytest.raises(Busy):
        await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=())
    with pytest.raises(Busy):
        await host.mounts.mount(DEVICE, "/other", fs=EXT4, options=("ro",))
    await host.mounts.mount(DEVICE, "/other", fs=EXT4, options=())
    await host.write(f"{STAGE}/a", b"x")
    assert await host.read("/other/a", 1) == b"x"
    with pytest.raises(InvalidRequest):
        await host.mounts.mount(DEVICE, "/other", fs=EXT4, options=("remount",))


async def test_paths(host: SimHost) -> None:
    await host.mounts.make_folder("/a/b")
    with pytest.raises(Precondition):
        await host.mounts.make_file("/a/b")
    with pytest.raises(Precondition, match="not empty"):
        await host.mounts.remove("/a")
    await host.mounts.remove("/a/b")
    await host.mounts.remove("/a/b")
    assert await host.mounts.exists("/a")


async def test_grow(host: SimHost) -> None:
    await staged(host)
    await host.lvm.extend("lv", vg="vg0", size=2 * SIZE, metadata_only=False)
    below = await host.dm.find("vg0-lv")
    assert below is not None
    await host.dm.load("w", tables.linear(below.devno, 2 * SIZE // 512))
    await host.dm.resume("w")
    assert await host.filesystems.size(DEVICE, fs=EXT4) == SIZE
    with pytest.raises(CommandFailed):
        await host.filesystems.grow(DEVICE, mountpoint="/elsewhere", fs=EXT4)
    await host.filesystems.grow(DEVICE, mountpoint=STAGE, fs=EXT4)
    assert await host.filesystems.size(DEVICE, fs=EXT4) == 2 * SIZE
    assert (await host.mounts.usage(STAGE)).total == 2 * SIZE


async def test_usage_follows_the_files(host: SimHost) -> None:
    await staged(host)
    before = await host.mounts.usage(STAGE)
    await host.write(f"{STAGE}/a", bytes(10_000))
    after = await host.mounts.usage(STAGE)
    assert (after.used - before.used, after.inodes_used - before.inodes_used) == (10_000, 1)
    with pytest.raises(NotFound):
        await host.mounts.usage("/var")


async def test_fenced_mount_gets_errors_and_turns_read_only(host: SimHost) -> None:
    await staged(host)
    await host.write(f"{STAGE}/a", b"before")
    await fence(host)
    with pytest.raises(OSError, match="Input/output error"):
        await host.write(f"{STAGE}/a", b"after")
    with pytest.raises(OSError, match="Read-only"):
        await host.write(f"{STAGE}/a", b"after")
    (row,) = await host.mounts.table()
    assert "emergency_ro" in row.super_options
    await wrap(host, "w2", SIZE)
    await host.mounts.make_folder("/new")
    await host.mounts.mount("/dev/mapper/w2", "/new", fs=EXT4, options=())
    assert await host.read("/new/a", 6) == b"before"
    await host.mounts.unmount(STAGE)
    await host.dm.remove("w.fenced.1")
    await host.write("/new/a", b"later!")
    assert host.network.violations == []


async def test_two_writers_are_found_out(host: SimHost) -> None:
    await staged(host)
    await wrap(host, "twin", SIZE)
    await host.mounts.make_folder("/twin")
    await host.mounts.mount("/dev/mapper/twin", "/twin", fs=EXT4, options=())
    with pytest.raises(OSError, match="has written"):
        await host.write(f"{STAGE}/a", b"x")
    assert len(host.network.violations) == 1


async def test_reboot_leaves_what_lay_on_disk(host: SimHost) -> None:
    await staged(host)
    await host.write(f"{STAGE}/a", b"kept")
    await host.records("journal").put("one", b"1")
    boot = host.facts.boot_id()
    host.reboot()
    assert host.facts.boot_id() != boot
    assert host.leftovers() == ("file journal/one", "lv vg0/lv")
    await host.lvm.activate("lv", vg="vg0")
    await wrap(host, "w", SIZE)
    await host.mounts.mount(DEVICE, STAGE, fs=EXT4, options=())
    assert await host.read(f"{STAGE}/a", 4) == b"kept"


async def test_process_crash_leaves_the_kernel_and_stops_the_old_process(host: SimHost) -> None:
    await staged(host)
    old, recorder = host.mounts, Recorder()
    host.process_crash(recorder)
    with pytest.raises(Killed):
        await old.unmount(STAGE)
    assert len(await host.mounts.table()) == 1
    await host.mounts.unmount(STAGE)
    assert recorder.seen == [("mounts.unmount", STAGE)]


async def test_reimage_keeps_the_volumes_only(host: SimHost) -> None:
    await host.records("journal").put("one", b"1")
    host.reimage()
    assert host.leftovers() == ("lv vg0/lv",)
    with pytest.raises(Incompatible):
        await host.lvm.create_thick("lv", vg="vg0", size=SIZE, tags=frozenset())
