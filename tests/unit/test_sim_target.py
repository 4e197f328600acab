"""The simulated target and initiator keep the kernel's and open-iscsi's rules."""

import asyncio

import pytest

from csi_driver.errors import Busy, Denied, DriverError, InternalError, InvalidRequest, NotFound, Unavailable
from csi_driver.host.doors import NodeRecord, ScsiDisk
from csi_driver.host.lio import targets
from csi_driver.model.ids import VolumeId, volume_key
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import GIB, MIB
from csi_driver.testing.host import SimHost
from csi_driver.testing.network import SimNetwork

SIZE = 64 * MIB
VOLUME = VolumeId(volume_key("one"), "abcdefgh")
GROUP = f"iscsi/{VOLUME.iqn}/tpgt_1"
SECRET = Secret("s" * 32)


class Pair:
    """A host with a volume and another that uses it."""

    def __init__(self) -> None:
        self.network = SimNetwork()
        self.store = SimHost("store", self.network)
        self.user = SimHost("user", self.network)
        self.store.add_group("vg0", GIB)

    async def export(self, *, readonly: bool = False) -> None:
        group = await self.store.lvm.group("vg0")
        if group.volume("lv") is None:
            await self.store.lvm.create_thick("lv", vg="vg0", size=SIZE, tags=frozenset())
        await targets.ensure_target(self.store.configfs, await self.spec(readonly=readonly))

    async def spec(self, *, readonly: bool = False) -> targets.TargetSpec:
        device = await self.store.dm.find("vg0-lv")
        assert device is not None
        return targets.TargetSpec(
            volume=VOLUME,
            device=self.store.devices.path(device.devno),
            portals=(self.store.portal,),
            initiator=await self.user.initiator.name(),
            chap_user="user",
            secret=SECRET,
            write_protected=readonly,
        )

    async def record(self, secret: Secret = SECRET) -> None:
        await self.user.initiator.put_record(
            NodeRecord(iqn=VOLUME.iqn, portal=self.store.portal, chap_user="user", secret=secret)
        )

    async def log_in(self) -> None:
        await self.record()
        await self.user.initiator.login(VOLUME.iqn, self.store.portal)

    async def attach(self, *, readonly: bool = False) -> ScsiDisk:
        await self.export(readonly=readonly)
        await self.log_in()
        await self.user.devices.scan(VOLUME.iqn)
        (disk,) = await self.user.devices.disks(VOLUME.iqn)
        return disk

    async def state(self) -> str:
        (session,) = await self.user.initiator.sessions()
        return session.state


@pytest.fixture
def pair() -> Pair:
    return Pair()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


# -- the tree


async def test_attributes_come_with_their_directory(pair: Pair) -> None:
    configfs = pair.store.configfs
    with pytest.raises(NotFound):
        await configfs.read("core/iblock_0/a/enable")
    with pytest.raises(NotFound):
        await configfs.make("core/iblock_0/a")
    await configfs.make("core/iblock_0")
    await configfs.make("core/iblock_0/a")
    assert await configfs.read("core/iblock_0/a/enable") == "0"
    assert "wwn" in await configfs.listing("core/iblock_0/a")
    assert await configfs.listing("core/iblock_1") == ()


@pytest.mark.parametrize("path", ["core/disk_0", "iscsi/notiqn", f"iscsi/{VOLUME.iqn}/group", "core/alua/x"])
async def test_names_of_unknown_form_are_refused(pair: Pair, path: str) -> None:
    await pair.export()
    with pytest.raises(InternalError):
        await pair.store.configfs.make(path)


async def test_enable_needs_control_first(pair: Pair) -> None:
    configfs = pair.store.configfs
    await configfs.make("core/fileio_0")
    await configfs.make("core/fileio_0/a")
    with pytest.raises(InternalError, match="EINVAL"):
        await configfs.write("core/fileio_0/a/enable", "1")
    await configfs.write("core/fileio_0/a/control", "fd_dev_name=/dev/nothing")
    with pytest.raises(DriverError):
        await configfs.write("core/fileio_0/a/enable", "1")
    await configfs.remove("core/fileio_0/a")
    await configfs.remove("core/fileio_0")
    assert await configfs.listing("core") == ("alua",)


async def test_enabled_backstore_holds_its_device_and_stays_enabled(pair: Pair) -> None:
    await pair.export()
    (target,) = await targets.list_targets(pair.store.configfs)
    device = await pair.store.dm.find("vg0-lv")
    assert device is not None
    assert (device.open_count, target.device) == (1, pair.store.devices.path(device.devno))
    (adapter,) = [name for name in await pair.store.configfs.listing("core") if name != "alua"]
    with pytest.raises(InternalError, match="EINVAL"):
        await pair.store.configfs.write(f"core/{adapter}/{VOLUME}/enable", "0")
    with pytest.raises(InternalError, match="EINVAL"):
        await pair.store.configfs.write(f"core/{adapter}/{VOLUME}/wwn/vpd_unit_serial", "other")


async def test_iblock_takes_its_device_for_itself(pair: Pair) -> None:
    await pair.export()
    configfs, device = pair.store.configfs, (await pair.spec()).device
    await configfs.make("core/iblock_7")
    for name in ("a", "b"):
        await configfs.make(f"core/iblock_7/{name}")
        await configfs.write(f"core/iblock_7/{name}/control", f"udev_path={device}")
    await configfs.write("core/iblock_7/a/enable", "1")
    with pytest.raises(Busy):
        await configfs.write("core/iblock_7/b/enable", "1")


@pytest.mark.parametrize("path", [GROUP, f"{GROUP}/acls/{{user}}", f"{GROUP}/lun/lun_0", f"iscsi/{VOLUME.iqn}"])
async def test_order_of_removal_matters(pair: Pair, path: str) -> None:
    await pair.export()
    with pytest.raises(Busy, match="ENOTEMPTY"):
        await pair.store.configfs.remove(path.format(user=await pair.user.initiator.name()))


async def test_what_is_pointed_at_is_not_removed(pair: Pair) -> None:
    await pair.export()
    configfs = pair.store.configfs
    (adapter,) = [name for name in await configfs.listing("core") if name != "alua"]
    with pytest.raises(Busy, match="EBUSY"):
        await configfs.remove(f"core/{adapter}/{VOLUME}")
    await configfs.unlink(f"{GROUP}/lun/lun_0/backstore")
    with pytest.raises(Busy, match="EBUSY"):
        await configfs.remove(f"{GROUP}/lun/lun_0")


async def test_directories_that_come_along_cannot_be_removed(pair: Pair) -> None:
    await pair.export()
    with pytest.raises(InternalError, match="EPERM"):
        await pair.store.configfs.remove(f"{GROUP}/attrib")


async def test_portal_needs_an_address_of_this_host(pair: Pair) -> None:
    await pair.export()
    with pytest.raises(InternalError, match="EADDRNOTAVAIL"):
        await pair.store.configfs.make(f"{GROUP}/np/{pair.user.portal}")


async def test_mapped_lun_leads_to_a_lun_of_its_own_group(pair: Pair) -> None:
    await pair.export()
    acl = f"{GROUP}/acls/iqn.2000-01.com.example:other"
    await pair.store.configfs.make(acl)
    await pair.store.configfs.make(f"{acl}/lun_0")
    with pytest.raises(InternalError, match="ENODEV"):
        await pair.store.configfs.write(f"{acl}/lun_0/write_protect", "1")
    (adapter,) = [name for name in await pair.store.configfs.listing("core") if name != "alua"]
    with pytest.raises(InternalError, match="EINVAL"):
        await pair.store.configfs.link(f"{acl}/lun_0/x", f"core/{adapter}/{VOLUME}")


async def test_everything_can_be_taken_down_again(pair: Pair) -> None:
    await pair.attach()
    await pair.user.initiator.logout(VOLUME.iqn)
    await targets.remove_target(pair.store.configfs, VOLUME)
    await pair.store.lvm.remove("lv", vg="vg0")
    await pair.user.initiator.remove_record(VOLUME.iqn)
    assert pair.store.leftovers() == pair.user.leftovers() == ()


# -- logging in


async def test_disk_says_who_it_is(pair: Pair) -> None:
    identity = await pair.user.devices.identity(await pair.attach())
    assert (identity.serial, identity.naa) == (VOLUME.serial, VOLUME.naa)
    assert (identity.size, identity.read_only) == (SIZE, False)


async def test_bytes_reach_the_volume(pair: Pair) -> None:
    disk = await pair.attach()
    await pair.user.write(f"/dev/{disk.name}", b"hello", offset=4000)
    assert await pair.store.read("/dev/mapper/vg0-lv", 5, offset=4000) == b"hello"


async def test_no_disk_without_a_scan_and_no_login_without_a_record(pair: Pair) -> None:
    await pair.export()
    with pytest.raises(NotFound):
        await pair.user.initiator.login(VOLUME.iqn, pair.store.portal)
    await pair.log_in()
    await pair.log_in()
    assert len(await pair.user.initiator.sessions()) == 1
    assert await pair.user.devices.disks(VOLUME.iqn) == ()


async def test_session_does_not_need_its_record(pair: Pair) -> None:
    await pair.attach()
    await pair.user.initiator.remove_record(VOLUME.iqn)
    assert await pair.state() == "LOGGED_IN"
    with pytest.raises(InvalidRequest):
        await pair.user.initiator.remove_record("iqn.2000-01.com.example:x")


async def test_wrong_secret_is_denied(pair: Pair) -> None:
    await pair.export()
    await pair.record(Secret("other"))
    with pytest.raises(Denied):
        await pair.user.initiator.login(VOLUME.iqn, pair.store.portal)
    assert await pair.user.initiator.sessions() == ()


async def test_login_without_acl_is_denied(pair: Pair) -> None:
    await pair.export()
    await targets.remove_acl(pair.store.configfs, VOLUME, await pair.user.initiator.name())
    with pytest.raises(Denied, match="not authorized"):
        await pair.log_in()


async def test_target_that_does_not_answer_is_unavailable(pair: Pair) -> None:
    with pytest.raises(Unavailable, match="refused"):
        await pair.log_in()
    await pair.export()
    pair.network.cut("store", "user")
    with pytest.raises(Unavailable, match="does not answer"):
        await pair.log_in()
    pair.network.heal("store", "user")
    await pair.store.configfs.write(f"{GROUP}/enable", "0")
    with pytest.raises(Unavailable):
        await pair.log_in()


async def test_nobody_logs_in_or_out_without_iscsid(pair: Pair) -> None:
    await pair.attach()
    pair.user.machine.iscsid = False
    with pytest.raises(Unavailable):
        await pair.user.initiator.logout(VOLUME.iqn)
    with pytest.raises(Unavailable):
        await pair.user.initiator.login("iqn.2000-01.com.example:x", pair.store.portal)


async def test_write_protection_is_the_targets(pair: Pair) -> None:
    disk = await pair.attach(readonly=True)
    assert (await pair.user.devices.identity(disk)).read_only
    with pytest.raises(OSError, match="Read-only"):
        await pair.user.write(f"/dev/{disk.name}", b"x")
    assert await pair.store.read("/dev/mapper/vg0-lv", 1) == b"\0"


# -- fencing


async def test_removed_acl_ends_the_session_and_its_io(pair: Pair) -> None:
    disk = await pair.attach()
    await targets.remove_acl(pair.store.configfs, VOLUME, await pair.user.initiator.name())
    assert await pair.state() == "FAILED"
    with pytest.raises(OSError, match="Input/output error"):
        await pair.user.write(f"/dev/{disk.name}", b"x")
    with pytest.raises(Unavailable):
        await pair.user.devices.identity(disk)
    assert await pair.store.read("/dev/mapper/vg0-lv", 1) == b"\0"
    assert [each.state for each in await pair.user.devices.disks(VOLUME.iqn)] == ["transport-offline"]


async def test_removing_the_acl_waits_for_what_is_in_flight(pair: Pair) -> None:
    disk = await pair.attach()
    pair.store.hang("vg0-lv")
    writing = asyncio.ensure_future(pair.user.write(f"/dev/{disk.name}", b"late"))
    await settle()
    fencing = asyncio.ensure_future(targets.remove_acl(pair.store.configfs, VOLUME, await pair.user.initiator.name()))
    await settle()
    assert not fencing.done()
    pair.store.hang("vg0-lv", hung=False)
    await fencing
    assert await pair.store.read("/dev/mapper/vg0-lv", 4) == b"late"
    with pytest.raises(OSError, match="Input/output error"):
        await writing


async def test_session_comes_back_by_itself_when_the_target_does(pair: Pair) -> None:
    disk = await pair.attach()
    pair.store.reboot()
    assert await pair.state() == "FAILED"
    await pair.store.lvm.activate("lv", vg="vg0")
    await pair.export()
    assert await pair.state() == "LOGGED_IN"
    await pair.user.write(f"/dev/{disk.name}", b"x")


async def test_io_may_wait_for_the_session(pair: Pair) -> None:
    disk = await pair.attach()
    (session,) = pair.user.machine.sessions
    session.queueing = True
    pair.network.cut("store", "user")
    writing = asyncio.ensure_future(pair.user.write(f"/dev/{disk.name}", b"x"))
    await settle()
    assert not writing.done()
    assert [each.state for each in await pair.user.devices.disks(VOLUME.iqn)] == ["blocked"]
    pair.network.heal("store", "user")
    await writing
    pair.network.cut("store", "user")
    writing = asyncio.ensure_future(pair.user.write(f"/dev/{disk.name}", b"y"))
    await settle()
    await pair.user.initiator.logout(VOLUME.iqn)
    with pytest.raises(OSError, match="No such device"):
        await writing


async def test_growth_is_seen_after_a_rescan(pair: Pair) -> None:
    disk = await pair.attach()
    await pair.store.lvm.extend("lv", vg="vg0", size=2 * SIZE, metadata_only=False)
    assert await pair.user.devices.size(disk.devno) == SIZE
    assert (await pair.user.devices.identity(disk)).size == 2 * SIZE
    await pair.user.devices.rescan(disk)
    assert await pair.user.devices.size(disk.devno) == 2 * SIZE


async def test_consumer_that_rebooted_has_its_records_and_no_session(pair: Pair) -> None:
    await pair.attach()
    pair.user.reboot()
    assert await pair.user.initiator.sessions() == ()
    assert await pair.user.initiator.records() == ((VOLUME.iqn, pair.store.portal),)
    pair.user.reimage()
    assert await pair.user.initiator.records() == ()
