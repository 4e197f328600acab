"""What every ``Configfs`` door does, alone and under the composed functions of ``host.lio``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from csi_driver.errors import Busy, DriverError, NotFound
from csi_driver.host.doors import Configfs
from csi_driver.host.lio import paths, targets
from csi_driver.kit.effects import Effects
from csi_driver.model.secret import Secret
from tests.contract.exporting import OTHER, SECRET, VOLUME, Exporting, host, new_spec, spec

__all__ = ["host", "spec"]

BACKSTORE = paths.backstore(VOLUME)


class Cut(Exception):
    """The process died here."""


class CutAt(Effects):
    """Dies at the effect ``number``, counted from 1, before it or after it."""

    def __init__(self, number: int, *, after: bool) -> None:
        self.number, self.after, self.seen = number, after, 0

    async def perform(self, name: str, subject: str, act: Callable[[], Awaitable[object]]) -> object:
        self.seen += 1
        if self.seen == self.number and not self.after:
            raise Cut(name)
        result = await act()
        if self.seen == self.number:
            raise Cut(name)
        return result


@pytest.fixture
def configfs(host: Exporting) -> Configfs:
    return host.configfs(Effects())


async def check_nothing_left(configfs: Configfs) -> None:
    assert await targets.list_targets(configfs) == ()
    assert [name for name in await configfs.listing("core") if name.startswith("fileio_")] == []
    assert [name for name in await configfs.listing("iscsi") if name.startswith("iqn.")] == []


async def test_directories_are_made_and_removed_again_and_again(configfs: Configfs) -> None:
    for _ in range(2):
        await configfs.make(paths.adapter(VOLUME))
    assert paths.adapter(VOLUME).removeprefix("core/") in await configfs.listing("core")
    await configfs.make(BACKSTORE)
    assert str(VOLUME) in await configfs.listing(paths.adapter(VOLUME))
    with pytest.raises(Busy):
        await configfs.remove(paths.adapter(VOLUME))
    for _ in range(2):
        await configfs.remove(BACKSTORE)
    for _ in range(2):
        await configfs.remove(paths.adapter(VOLUME))
    assert await configfs.listing(paths.adapter(VOLUME)) == ()


async def test_a_parent_has_to_be_there(configfs: Configfs) -> None:
    with pytest.raises(NotFound):
        await configfs.make(BACKSTORE)


async def test_a_listing_has_no_attributes(configfs: Configfs) -> None:
    await configfs.make(paths.adapter(VOLUME))
    await configfs.make(BACKSTORE)
    listed = await configfs.listing(BACKSTORE)
    assert {"attrib", "wwn"} <= set(listed)
    assert not {"enable", "control", "info"} & set(listed)
    assert listed == tuple(sorted(listed))


async def test_attributes_are_written_and_read(configfs: Configfs) -> None:
    await configfs.make(paths.adapter(VOLUME))
    await configfs.make(BACKSTORE)
    assert await configfs.read(f"{BACKSTORE}/enable") == "0"
    await configfs.write(f"{BACKSTORE}/wwn/vpd_unit_serial", "abc123")
    assert (await configfs.read(f"{BACKSTORE}/wwn/vpd_unit_serial")).endswith(" abc123")
    with pytest.raises(NotFound):
        await configfs.read(f"{BACKSTORE}/no_such_attribute")
    with pytest.raises(DriverError):
        await configfs.write(f"{BACKSTORE}/no_such_attribute", "1")
    with pytest.raises(DriverError):
        await configfs.write(f"{BACKSTORE}/enable", "1")


async def test_an_export_stands_and_goes(configfs: Configfs, spec: targets.TargetSpec) -> None:
    for secret in (SECRET, SECRET, Secret("t" * 32)):
        order = replace(spec, secret=secret)
        await targets.ensure_target(configfs, order)
        await check_stands(configfs, order)
    await targets.remove_target(configfs, VOLUME)
    await check_nothing_left(configfs)
    await targets.remove_target(configfs, VOLUME)


async def check_stands(configfs: Configfs, order: targets.TargetSpec) -> None:
    assert await targets.read_target(configfs, order.volume) == targets.Target(
        volume=order.volume,
        enabled=True,
        initiators=(order.initiator,),
        portals=order.portals,
        device=order.device,
        mapped=True,
    )
    acl = paths.acl(order.volume, order.initiator)
    assert await configfs.read(f"{acl}/auth/password") == order.secret.reveal()
    assert await configfs.read(f"{acl}/lun_0/write_protect") == ("1" if order.write_protected else "0")
    assert (await configfs.read(f"{paths.backstore(order.volume)}/wwn/vpd_unit_serial")).endswith(order.volume.serial)
    for name, value in {"emulate_tpu": "1", "emulate_tpws": "1", "emulate_pr": "0"}.items():
        assert await configfs.read(f"{paths.backstore(order.volume)}/attrib/{name}") == value


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_at_any_step_is_repaired_by_repeating(
    host: Exporting, configfs: Configfs, spec: targets.TargetSpec, after: bool
) -> None:
    order, number = replace(spec, write_protected=True), 0
    while True:
        number += 1
        cut = CutAt(number, after=after)
        try:
            await targets.ensure_target(host.configfs(cut), order)
        except Cut:
            await targets.ensure_target(configfs, order)
            await check_stands(configfs, order)
            await targets.remove_target(configfs, VOLUME)
            continue
        assert cut.seen == number - 1
        assert number > 15
        return


@pytest.mark.parametrize("after", [False, True])
async def test_a_removal_cut_short_is_finished_by_repeating(
    host: Exporting, configfs: Configfs, spec: targets.TargetSpec, after: bool
) -> None:
    number = 0
    while True:
        number += 1
        cut = CutAt(number, after=after)
        await targets.ensure_target(configfs, spec)
        try:
            await targets.remove_target(host.configfs(cut), VOLUME)
        except Cut:
            await targets.remove_target(configfs, VOLUME)
            await check_nothing_left(configfs)
            continue
        assert cut.seen == number - 1
        assert number > 10
        return


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_cut_short_can_be_removed(
    host: Exporting, configfs: Configfs, spec: targets.TargetSpec, after: bool
) -> None:
    for number in range(1, 25):
        try:
            await targets.ensure_target(host.configfs(CutAt(number, after=after)), spec)
        except Cut:
            await targets.remove_target(configfs, VOLUME)
            await check_nothing_left(configfs)
            continue
        return
    raise AssertionError("it was cut at every step")


async def test_a_device_that_is_not_there_leaves_nothing(configfs: Configfs, spec: targets.TargetSpec) -> None:
    with pytest.raises(DriverError):
        await targets.ensure_target(configfs, replace(spec, device="/dev/clinker-not-there"))
    await check_nothing_left(configfs)


async def test_an_export_of_a_replaced_wrapper_is_made_anew(
    host: Exporting, configfs: Configfs, spec: targets.TargetSpec
) -> None:
    await targets.ensure_target(configfs, spec)
    fresh = replace(spec, device=(await new_spec(host, OTHER)).device)
    await targets.ensure_target(configfs, fresh)
    await check_stands(configfs, fresh)


async def test_a_portal_that_moved_is_replaced(configfs: Configfs, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(configfs, spec)
    moved = replace(spec, portals=(spec.portals[0].replace(":3260", ":3261"),))
    await targets.ensure_target(configfs, moved)
    await check_stands(configfs, moved)


async def test_the_fence_takes_one_initiator_only(configfs: Configfs, spec: targets.TargetSpec) -> None:
    other = replace(spec, initiator="iqn.1993-08.org.debian:01:two")
    await targets.ensure_target(configfs, spec)
    await targets.ensure_target(configfs, other)
    for _ in range(2):
        await targets.remove_acl(configfs, VOLUME, spec.initiator)
    await check_stands(configfs, other)


async def test_two_volumes_at_once(host: Exporting, configfs: Configfs, spec: targets.TargetSpec) -> None:
    other = await new_spec(host, OTHER)
    await targets.ensure_target(configfs, spec)
    await targets.ensure_target(configfs, other)
    assert await targets.target_volumes(configfs) == (VOLUME, OTHER)
    await targets.remove_target(configfs, VOLUME)
    await check_stands(configfs, other)


async def test_reservations_are_taken_back_before_the_export_only(configfs: Configfs, spec: targets.TargetSpec) -> None:
    kept = (
        f"initiator_fabric=iSCSI,initiator_node={spec.initiator},sa_res_key=17,res_holder=0,res_all_tg_pt=0,"
        f"mapped_lun=0,target_fabric=iSCSI,target_node={VOLUME.iqn},tpgt=1,port_rtpi=1,target_lun=0"
    )
    await targets.ensure_target(configfs, replace(spec, reservations=True, remembered=(kept,)))
    assert await configfs.read(f"{BACKSTORE}/attrib/emulate_pr") == "1"
    with pytest.raises(DriverError):
        await configfs.write(f"{BACKSTORE}/pr/res_aptpl_metadata", kept)
    await targets.remove_target(configfs, VOLUME)
    await check_nothing_left(configfs)


async def test_several_initiators_have_a_secret_each(configfs: Configfs, spec: targets.TargetSpec) -> None:
    other = targets.Admission(
        initiator="iqn.1993-08.org.debian:01:other", chap_user="other", secret=Secret("o" * 32), write_protected=True
    )
    order = replace(spec, beside=(other,))
    for _ in range(2):
        await targets.ensure_target(configfs, order)
    found = await targets.read_target(configfs, VOLUME)
    assert found is not None
    assert set(found.initiators) == {spec.initiator, other.initiator}
    for each in order.admissions:
        acl = paths.acl(VOLUME, each.initiator)
        assert await configfs.read(f"{acl}/auth/userid") == each.chap_user
        assert await configfs.read(f"{acl}/auth/password") == each.secret.reveal()
        assert await configfs.read(f"{acl}/lun_0/write_protect") == ("1" if each.write_protected else "0")
    await targets.remove_acl(configfs, VOLUME, other.initiator)
    await check_stands(configfs, spec)
