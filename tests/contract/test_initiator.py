"""What every ``Initiator`` and every ``Devices`` door do: this host logs in to its own target."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace

import pytest

from csi_driver.errors import Denied, DriverError, NotFound, Unavailable
from csi_driver.host.dm import tables
from csi_driver.host.lio import targets
from csi_driver.kit.effects import Effects
from csi_driver.model.secret import Secret
from csi_driver.model.sizes import MIB, SECTOR
from tests.contract.exporting import (
    OTHER,
    PATIENCE,
    SIZE,
    VOLUME,
    Exporting,
    host,
    logged_in,
    new_spec,
    record_of,
    spec,
)
from tests.contract.storage import VG, devno

__all__ = ["host", "spec"]

IQN = VOLUME.iqn
LOGIN_LIMIT = 60.0
"""Seconds in which a login that gets no answer has to end, on a busy machine too; open-iscsi by itself takes 120."""


async def test_records_are_kept(host: Exporting, spec: targets.TargetSpec) -> None:
    record = record_of(spec)
    assert await host.initiator.records() == ()
    await host.initiator.remove_record(IQN)
    for _ in range(2):
        await host.initiator.put_record(record)
    await host.initiator.put_record(replace(record, portal="[fd00::77]:3260"))
    assert await host.initiator.records() == tuple(sorted([(IQN, spec.portals[0]), (IQN, "[fd00::77]:3260")]))
    await host.initiator.remove_record(IQN)
    assert await host.initiator.records() == ()


async def test_a_session_begins_and_ends(host: Exporting, spec: targets.TargetSpec) -> None:
    disk = await logged_in(host, spec)
    await host.initiator.login(IQN, spec.portals[0])
    (session,) = await host.initiator.sessions()
    assert (session.iqn, session.portal, session.state) == (IQN, spec.portals[0], "LOGGED_IN")
    (seen,) = await targets.sessions(host.configfs(Effects()), VOLUME, spec.initiator)
    assert (seen.initiator, seen.state) == (spec.initiator, targets.SessionState.LOGGED_IN)
    assert (disk.iqn, disk.lun, disk.state) == (IQN, 0, "running")
    assert host.devices.path(disk.devno).endswith(f"/{disk.name}")
    for _ in range(2):
        await host.initiator.logout(IQN)
    assert await host.initiator.sessions() == ()
    assert await host.devices.disks(IQN) == ()
    with pytest.raises(NotFound):
        await host.devices.size(disk.devno)
    with pytest.raises((Unavailable, NotFound)):
        await host.devices.identity(disk)


async def test_the_disk_says_who_it_is(host: Exporting, spec: targets.TargetSpec) -> None:
    identity = await host.devices.identity(await logged_in(host, spec))
    assert (identity.serial, identity.naa) == (VOLUME.serial, VOLUME.naa)
    assert (identity.size, identity.read_only) == (SIZE, False)


async def test_nothing_is_found_without_a_scan(host: Exporting, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs(Effects()), spec)
    await host.initiator.put_record(record_of(spec))
    await host.initiator.login(IQN, spec.portals[0])
    await asyncio.sleep(0.2)
    assert await host.devices.disks(IQN) == ()


async def test_what_is_written_arrives(host: Exporting, spec: targets.TargetSpec) -> None:
    disk = await logged_in(host, spec)
    block = os.urandom(4096)
    await host.storage.write(disk.devno, MIB, block)
    below = await host.storage.dm.find(str(VOLUME))
    assert below is not None
    assert await host.storage.read(below.devno, MIB, 4096) == block
    await host.devices.zero(disk.devno, offset=MIB, length=4096)
    assert await host.storage.read(below.devno, MIB, 4096) == bytes(4096)


async def test_a_write_protected_disk_says_so(host: Exporting, spec: targets.TargetSpec) -> None:
    disk = await logged_in(host, replace(spec, write_protected=True))
    assert (await host.devices.identity(disk)).read_only
    with pytest.raises(OSError, match=r"."):
        await host.storage.write(disk.devno, 0, bytes(4096))


async def test_a_disk_grows_after_a_rescan(host: Exporting, spec: targets.TargetSpec) -> None:
    disk = await logged_in(host, spec)
    lvm, dm, name, size = host.storage.lvm, host.storage.dm, str(VOLUME), 2 * SIZE
    await lvm.extend(name, vg=VG, size=size, metadata_only=False)
    below = devno((await lvm.group(VG)).volume(name))
    await dm.load(name, tables.linear(below, size // SECTOR))
    await dm.suspend(name)
    await dm.resume(name)
    assert (await host.devices.identity(disk)).size == size
    await host.devices.rescan(disk)
    for _ in range(PATIENCE):
        if await host.devices.size(disk.devno) == size:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the kernel did not see that the disk grew")


async def test_a_disk_is_deleted(host: Exporting, spec: targets.TargetSpec) -> None:
    disk = await logged_in(host, spec)
    for _ in range(2):
        await host.devices.delete(disk)
    assert await host.devices.disks(IQN) == ()
    with pytest.raises(NotFound):
        await host.devices.rescan(disk)


async def test_sessions_do_not_meet(host: Exporting, spec: targets.TargetSpec) -> None:
    await logged_in(host, spec)
    other = await logged_in(host, await new_spec(host, OTHER))
    assert (await host.devices.identity(other)).serial == OTHER.serial
    await host.initiator.logout(IQN)
    await host.initiator.remove_record(IQN)
    assert [session.iqn for session in await host.initiator.sessions()] == [OTHER.iqn]
    assert await host.devices.disks(OTHER.iqn) == (other,)


async def test_a_wrong_secret_is_denied(host: Exporting, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs(Effects()), spec)
    await host.initiator.put_record(replace(record_of(spec), secret=Secret("wrong" * 6)))
    with pytest.raises(Denied):
        await host.initiator.login(IQN, spec.portals[0])
    assert await host.initiator.sessions() == ()


async def test_a_new_secret_counts_from_the_next_login(host: Exporting, spec: targets.TargetSpec) -> None:
    await logged_in(host, spec)
    await host.initiator.logout(IQN)
    renewed = replace(spec, secret=Secret("t" * 32))
    await targets.ensure_target(host.configfs(Effects()), renewed)
    with pytest.raises(Denied):
        await host.initiator.login(IQN, spec.portals[0])
    await logged_in(host, renewed)


async def test_another_initiator_is_denied(host: Exporting, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs(Effects()), replace(spec, initiator="iqn.1993-08.org.debian:01:else"))
    await host.initiator.put_record(record_of(spec))
    with pytest.raises(Denied):
        await host.initiator.login(IQN, spec.portals[0])


async def test_after_the_fence_the_login_is_denied(host: Exporting, spec: targets.TargetSpec) -> None:
    await logged_in(host, spec)
    configfs = host.configfs(Effects())
    await targets.remove_acl(configfs, VOLUME, spec.initiator)
    assert await targets.sessions(configfs, VOLUME, spec.initiator) == ()
    await host.initiator.logout(IQN)
    with pytest.raises(Denied):
        await host.initiator.login(IQN, spec.portals[0])


async def test_a_target_that_is_not_there_is_unavailable(host: Exporting, spec: targets.TargetSpec) -> None:
    # Its portal answers for another volume.
    await targets.ensure_target(host.configfs(Effects()), await new_spec(host, OTHER))
    await host.initiator.put_record(record_of(spec))
    async with asyncio.timeout(LOGIN_LIMIT):
        with pytest.raises(Unavailable):
            await host.initiator.login(IQN, spec.portals[0])


async def test_a_portal_that_is_not_there_is_unavailable(host: Exporting, spec: targets.TargetSpec) -> None:
    await host.initiator.put_record(record_of(spec))
    async with asyncio.timeout(LOGIN_LIMIT):
        with pytest.raises(Unavailable):
            await host.initiator.login(IQN, spec.portals[0])
    assert await host.initiator.sessions() == ()


async def test_without_a_record_there_is_no_login(host: Exporting, spec: targets.TargetSpec) -> None:
    await targets.ensure_target(host.configfs(Effects()), spec)
    with pytest.raises(DriverError):
        await host.initiator.login(IQN, spec.portals[0])
    assert await host.initiator.sessions() == ()
