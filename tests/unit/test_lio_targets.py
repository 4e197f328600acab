"""The composed functions against the simulated kernel target, every crash point included."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from csi_driver.errors import DriverError, InternalError, Precondition
from csi_driver.host.dm import tables
from csi_driver.host.doors import Configfs
from csi_driver.host.lio import paths, targets
from csi_driver.kit.effects import Effects
from csi_driver.model.ids import VolumeId
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import GIB, MIB, SECTOR
from csi_driver.testing.configfs import SimConfigfs
from csi_driver.testing.dm import SimDm
from csi_driver.testing.lvm import SimLvm
from csi_driver.testing.machine import Machine

VOLUME = VolumeId("a" * 26, "bbbbbbbb")
OTHER = VolumeId("a" * 26, "cccccccc")
SIZE = 64 * MIB
INITIATOR = "iqn.1993-08.org.debian:01:one"


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


class Host:
    """A simulated storage node with one wrapper to export."""

    def __init__(self) -> None:
        self.machine = Machine()
        self.machine.add_group("vg0", GIB)
        self.configfs = self.door()

    def door(self, effects: Effects | None = None) -> SimConfigfs:
        return SimConfigfs(self.machine, effects or Effects())

    async def wrapper(self, name: str) -> str:
        lvm, dm = SimLvm(self.machine, Effects()), SimDm(self.machine, Effects())
        await lvm.create_thick(f"lv-{name}", vg="vg0", size=SIZE, tags=frozenset())
        lv = (await lvm.group("vg0")).volume(f"lv-{name}")
        assert lv is not None
        assert lv.devno is not None
        await dm.create(name, uuid=f"CLINKER-{name}")
        await dm.load(name, tables.linear(lv.devno, SIZE // SECTOR))
        await dm.resume(name)
        device = await dm.find(name)
        assert device is not None
        return f"/dev/dm-{device.devno[1]}"


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
async def spec(host: Host) -> targets.TargetSpec:
    return targets.TargetSpec(
        volume=VOLUME,
        device=await host.wrapper("w"),
        portals=(host.machine.portal,),
        initiator=INITIATOR,
        chap_user="user",
        secret=Secret("s" * 32),
    )


async def check_stands(configfs: Configfs, spec: targets.TargetSpec) -> None:
    found = await targets.read_target(configfs, spec.volume)
    assert found == targets.Target(
        volume=spec.volume,
        enabled=True,
        initiators=(spec.initiator,),
        portals=spec.portals,
        device=spec.device,
        mapped=True,
    )
    acl = paths.acl(spec.volume, spec.initiator)
    assert await configfs.read(f"{acl}/auth/userid") == spec.chap_user
    assert await configfs.read(f"{acl}/auth/password") == spec.secret.reveal()
    assert await configfs.read(f"{acl}/lun_0/write_protect") == ("1" if spec.write_protected else "0")
    attributes = f"{paths.backstore(spec.volume)}/attrib"
    assert await configfs.read(f"{attributes}/emulate_tpu") == "1"
    assert await configfs.read(f"{attributes}/emulate_tpws") == "1"
    assert await configfs.read(f"{attributes}/emulate_pr") == "0"
    assert (await configfs.read(f"{paths.backstore(spec.volume)}/wwn/vpd_unit_serial")).endswith(spec.volume.serial)
    assert await configfs.read(f"{paths.group(spec.volume)}/attrib/demo_mode_discovery") == "0"


async def check_nothing_left(configfs: Configfs) -> None:
    assert await targets.list_targets(configfs) == ()
    assert await configfs.listing("core") == ("alua",)
    assert [name for name in await configfs.listing("iscsi") if name.startswith("iqn.")] == []


async def test_an_export_stands_and_goes(host: Host, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs, spec)
    await check_stands(host.configfs, spec)
    await targets.remove_target(host.configfs, VOLUME)
    await check_nothing_left(host.configfs)
    await targets.remove_target(host.configfs, VOLUME)


async def test_repeating_changes_nothing_but_the_secret(host: Host, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs, spec)
    counted = CutAt(0, after=False)
    await targets.ensure_target(host.door(counted), spec)
    writes = counted.seen
    await targets.ensure_target(host.configfs, replace(spec, secret=Secret("t" * 32)))
    await check_stands(host.configfs, replace(spec, secret=Secret("t" * 32)))
    # Eight directories and links that may be there already, userid and password.
    assert writes == 10


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_at_any_step_is_repaired_by_repeating(after: bool) -> None:
    number = 0
    while True:
        number += 1
        host = Host()
        device = await host.wrapper("w")
        order = targets.TargetSpec(
            volume=VOLUME, device=device, portals=(host.machine.portal,), initiator=INITIATOR,
            chap_user="user", secret=Secret("s" * 32), write_protected=True,
        )  # fmt: skip
        cut = CutAt(number, after=after)
        try:
            await targets.ensure_target(host.door(cut), order)
        except Cut:
            renewed = replace(order, secret=Secret("t" * 32))
            await targets.ensure_target(host.configfs, renewed)
            await check_stands(host.configfs, renewed)
            continue
        assert cut.seen == number - 1
        assert number > 15
        return


@pytest.mark.parametrize("after", [False, True])
async def test_what_was_cut_short_can_be_removed(after: bool) -> None:
    for number in range(1, 25):
        host = Host()
        order = targets.TargetSpec(
            volume=VOLUME, device=await host.wrapper("w"), portals=(host.machine.portal,),
            initiator=INITIATOR, chap_user="user", secret=Secret("s" * 32),
        )  # fmt: skip
        try:
            await targets.ensure_target(host.door(CutAt(number, after=after)), order)
        except Cut:
            await targets.remove_target(host.configfs, VOLUME)
            await check_nothing_left(host.configfs)
        await targets.ensure_target(host.configfs, order)
        try:
            await targets.remove_target(host.door(CutAt(number, after=after)), VOLUME)
        except Cut:
            await targets.remove_target(host.configfs, VOLUME)
        await check_nothing_left(host.configfs)


async def test_the_group_is_enabled_last(host: Host, spec: targets.TargetSpec) -> None:
    class Log(Effects):
        order: list[str] = []  # noqa: RUF012  # of this one test

        async def perform(self, name: str, subject: str, act: Callable[[], Awaitable[object]]) -> object:
            self.order.append(subject)
            return await act()

    await targets.ensure_target(host.door(Log()), spec)
    assert Log.order[-1] == f"{paths.group(VOLUME)}/enable"
    assert Log.order[-2].endswith("/auth/password")


async def test_a_device_that_is_not_there_leaves_nothing(host: Host, spec: targets.TargetSpec) -> None:
    with pytest.raises(DriverError) as caught:
        await targets.ensure_target(host.configfs, replace(spec, device="/dev/dm-77"))
    assert "s" * 32 not in str(caught.value)
    await check_nothing_left(host.configfs)


async def test_a_secret_is_in_no_error(host: Host, spec: targets.TargetSpec) -> None:
    with pytest.raises(InternalError) as caught:
        await targets.ensure_target(host.configfs, replace(spec, portals=("nowhere",)))
    assert "s" * 32 not in f"{caught.value!r} {spec!r}"


async def test_a_portal_that_moved_is_replaced(host: Host, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs, spec)
    moved = replace(spec, portals=(f"{host.machine.address}:3261",))
    await targets.ensure_target(host.configfs, moved)
    await check_stands(host.configfs, moved)


async def test_an_export_of_a_replaced_wrapper_is_made_anew(host: Host, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs, spec)
    fresh = replace(spec, device=await host.wrapper("fresh"))
    await targets.ensure_target(host.configfs, fresh)
    await check_stands(host.configfs, fresh)


async def test_a_device_in_use_by_others_is_not_replaced(host: Host, spec: targets.TargetSpec) -> None:
    other = replace(spec, initiator="iqn.1993-08.org.debian:01:two")
    await targets.ensure_target(host.configfs, other)
    with pytest.raises(Precondition, match="01:two"):
        await targets.ensure_target(host.configfs, replace(spec, device=await host.wrapper("fresh")))
    await check_stands(host.configfs, other)


async def test_the_fence_takes_one_initiator_only(host: Host, spec: targets.TargetSpec) -> None:
    other = replace(spec, initiator="iqn.1993-08.org.debian:01:two")
    await targets.ensure_target(host.configfs, spec)
    await targets.ensure_target(host.configfs, other)
    await targets.remove_acl(host.configfs, VOLUME, INITIATOR)
    await targets.remove_acl(host.configfs, VOLUME, INITIATOR)
    await check_stands(host.configfs, other)


async def test_volumes_do_not_meet(host: Host, spec: targets.TargetSpec) -> None:
    other = replace(spec, volume=OTHER, device=await host.wrapper("other"))
    await targets.ensure_target(host.configfs, spec)
    await targets.ensure_target(host.configfs, other)
    assert {target.volume for target in await targets.list_targets(host.configfs)} == {VOLUME, OTHER}
    await targets.remove_target(host.configfs, VOLUME)
    await check_stands(host.configfs, other)


async def test_discard_is_not_offered_where_it_is_not_asked_for(host: Host, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs, replace(spec, unmap=False))
    assert await host.configfs.read(f"{paths.backstore(VOLUME)}/attrib/emulate_tpu") == "0"
