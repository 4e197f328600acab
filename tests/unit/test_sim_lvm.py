"""The simulated LVM keeps LVM's rules."""

import pytest

from csi_driver.errors import Busy, CommandFailed, Incompatible, InvalidRequest, NoCapacity, NotFound
from csi_driver.host.dm import tables
from csi_driver.host.doors import LogicalVolume
from csi_driver.model.sizes import GIB, MIB
from csi_driver.testing.host import SimHost

NONE: frozenset[str] = frozenset()
SIZE = 64 * MIB


@pytest.fixture
def host() -> SimHost:
    made = SimHost()
    made.add_group("vg0", GIB, thin_pool="pool")
    return made


async def lv(host: SimHost, name: str) -> LogicalVolume:
    found = (await host.lvm.group("vg0")).volume(name)
    assert found is not None
    return found


async def test_thin_volume_is_active_with_a_device_as_lvm_names_it(host: SimHost) -> None:
    await host.lvm.create_thin("vol-a", vg="vg0", pool="pool", size=SIZE, tags=frozenset({"x=1"}))
    made = await lv(host, "vol-a")
    assert (made.active, made.layout, made.pool, made.tags) == (True, "thin", "pool", frozenset({"x=1"}))
    device = await host.dm.find("vg0-vol--a")
    assert device is not None
    assert device.devno == made.devno
    assert device.uuid.startswith("LVM-")
    assert device.uuid.endswith(made.uuid.replace("-", ""))
    (line,) = await host.dm.table("vg0-vol--a")
    assert (line.target, line.length) == ("thin", SIZE // 512)


async def test_thin_volumes_may_promise_more_than_the_pool_has(host: SimHost) -> None:
    await host.lvm.create_thin("a", vg="vg0", pool="pool", size=100 * GIB, tags=NONE)
    assert (await lv(host, "a")).size == 100 * GIB


@pytest.mark.parametrize(("data", "metadata"), [(100.0, 0.0), (0.0, 75.0)])
async def test_full_pool_makes_no_thin_volume(data: float, metadata: float) -> None:
    host = SimHost()
    pool = host.machine.add_group("vg0", GIB).add_pool("pool", GIB // 2)
    pool.set_data, pool.set_metadata = data, metadata
    with pytest.raises(NoCapacity, match="reached threshold"):
        await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)


async def test_pool_figures_follow_what_is_written(host: SimHost) -> None:
    await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)
    await host.write("/dev/mapper/vg0-a", bytes(16 * MIB))
    assert (await lv(host, "pool")).data_percent == pytest.approx(100 * 16 / 512)
    assert (await lv(host, "a")).data_percent == pytest.approx(25)


async def test_writing_into_a_full_pool_fails() -> None:
    host = SimHost()
    host.add_group("vg0", GIB, thin_pool="pool", thin_size=MIB)
    await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)
    with pytest.raises(OSError, match="No space left"):
        await host.write("/dev/mapper/vg0-a", bytes(2 * MIB))


async def test_thick_volume_takes_extents_and_gives_them_back(host: SimHost) -> None:
    before = (await host.lvm.group("vg0")).free
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=NONE)
    assert (await host.lvm.group("vg0")).free == before - SIZE
    with pytest.raises(NoCapacity, match="insufficient free space"):
        await host.lvm.create_thick("b", vg="vg0", size=before, tags=NONE)
    await host.lvm.remove("a", vg="vg0")
    assert (await host.lvm.group("vg0")).free == before


async def test_thick_volume_holds_what_its_last_owner_left(host: SimHost) -> None:
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=NONE)
    await host.write("/dev/mapper/vg0-a", b"first", offset=0)
    await host.write("/dev/mapper/vg0-a", b"secret", offset=SIZE - 6)
    await host.lvm.remove("a", vg="vg0")
    await host.lvm.create_thick("b", vg="vg0", size=SIZE, tags=NONE)
    assert await host.read("/dev/mapper/vg0-b", 6, offset=SIZE - 6) == b"secret"
    assert await host.read("/dev/mapper/vg0-b", 5) == bytes(5), "LVM wipes the first 4 KiB"


async def test_thin_volume_begins_empty(host: SimHost) -> None:
    for name in ("a", "b"):
        await host.lvm.create_thin(name, vg="vg0", pool="pool", size=SIZE, tags=NONE)
        assert await host.read(f"/dev/mapper/vg0-{name}", 6, offset=8192) == bytes(6)
        await host.write(f"/dev/mapper/vg0-{name}", b"secret", offset=8192)
        await host.lvm.remove(name, vg="vg0")


@pytest.mark.parametrize("tag", ["a b", "a,b", "a@b", "a%b", "a~b", "", "x" * 4097])
async def test_tags_lvm_does_not_allow_are_refused(host: SimHost, tag: str) -> None:
    with pytest.raises(CommandFailed):
        await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=frozenset({tag}))
    assert (await host.lvm.group("vg0")).volume("a") is None


async def test_one_change_of_tags_adds_and_removes(host: SimHost) -> None:
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=frozenset({"x=1"}))
    await host.lvm.change_tags("a", vg="vg0", add=frozenset({"y=#20/2&"}), remove=frozenset({"x=1", "never"}))
    assert (await lv(host, "a")).tags == {"y=#20/2&"}


@pytest.mark.parametrize("name", ["-a", ".", "..", "a b", "a/b", "snapshot1", "a_tdata", "x" * 128])
async def test_names_lvm_does_not_allow_are_refused(host: SimHost, name: str) -> None:
    with pytest.raises(CommandFailed, match="invalid"):
        await host.lvm.create_thick(name, vg="vg0", size=SIZE, tags=NONE)


async def test_sizes_are_multiples_of_the_extent(host: SimHost) -> None:
    with pytest.raises(InvalidRequest):
        await host.lvm.create_thick("a", vg="vg0", size=SIZE + 1, tags=NONE)


async def test_what_is_not_there_is_not_found(host: SimHost) -> None:
    with pytest.raises(NotFound):
        await host.lvm.group("vg1")
    for act in (host.lvm.remove, host.lvm.activate, host.lvm.deactivate):
        with pytest.raises(NotFound):
            await act("a", vg="vg0")
    with pytest.raises(NotFound):
        await host.lvm.extend("a", vg="vg0", size=SIZE, metadata_only=False)


async def test_a_name_is_taken_once(host: SimHost) -> None:
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=NONE)
    with pytest.raises(Incompatible):
        await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)


async def test_open_device_is_neither_removed_nor_deactivated(host: SimHost) -> None:
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=NONE)
    devno = (await lv(host, "a")).devno
    assert devno is not None
    await host.dm.create("w", uuid="CLINKER-w")
    await host.dm.load("w", tables.linear(devno, SIZE // 512))
    with pytest.raises(Busy):
        await host.lvm.remove("a", vg="vg0")
    with pytest.raises(Busy):
        await host.lvm.deactivate("a", vg="vg0")
    await host.dm.remove("w")
    await host.lvm.deactivate("a", vg="vg0")
    assert await host.dm.find("vg0-a") is None
    assert not (await lv(host, "a")).active


async def test_extend_of_metadata_alone_leaves_the_device(host: SimHost) -> None:
    await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)
    devno = (await lv(host, "a")).devno
    assert devno is not None
    await host.lvm.extend("a", vg="vg0", size=2 * SIZE, metadata_only=True)
    assert (await lv(host, "a")).size == 2 * SIZE
    assert await host.devices.size(devno) == SIZE
    await host.lvm.extend("a", vg="vg0", size=2 * SIZE, metadata_only=True)
    with pytest.raises(CommandFailed, match="not larger"):
        await host.lvm.extend("a", vg="vg0", size=SIZE, metadata_only=False)


async def test_extend_keeps_the_bytes_and_grows_the_device(host: SimHost) -> None:
    await host.lvm.create_thick("a", vg="vg0", size=SIZE, tags=NONE)
    await host.lvm.create_thick("between", vg="vg0", size=SIZE, tags=NONE)
    await host.write("/dev/mapper/vg0-a", b"kept", offset=SIZE - 4)
    await host.lvm.extend("a", vg="vg0", size=2 * SIZE, metadata_only=False)
    assert await host.read("/dev/mapper/vg0-a", 4, offset=SIZE - 4) == b"kept"
    await host.write("/dev/mapper/vg0-a", b"across", offset=SIZE - 3)
    assert await host.read("/dev/mapper/vg0-a", 6, offset=SIZE - 3) == b"across"
    with pytest.raises(NoCapacity):
        await host.lvm.extend("a", vg="vg0", size=4 * GIB, metadata_only=False)


async def test_metadata_area_fills_up(host: SimHost) -> None:
    group = host.machine.groups["vg0"]
    group.metadata_size = 2 * 1050 * 2
    await host.lvm.create_thin("a", vg="vg0", pool="pool", size=SIZE, tags=NONE)
    with pytest.raises(NoCapacity, match="metadata too large"):
        await host.lvm.create_thin("b", vg="vg0", pool="pool", size=SIZE, tags=NONE)
