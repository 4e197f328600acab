"""NodeStageVolume on simulated hosts."""

import asyncio
import dataclasses

import pytest

from csi_driver.errors import (
    Busy,
    DriverError,
    Incompatible,
    InternalError,
    InvalidRequest,
    NotFound,
    Precondition,
    StillWorking,
    Unavailable,
)
from csi_driver.host.lio import paths
from csi_driver.kit import deadline
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import DM_UUID_PREFIX
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import MIB
from csi_driver.node.requests import StageRequest
from csi_driver.testing.faults import DelayAt, FailAt, KillAt, Killed, Recorder
from tests.unit.node_world import BLOCK, MOUNT, OTHER, SIZE, STAGING, VOLUME, World, published

BOTH = pytest.mark.parametrize("transport", list(Transport))
EVERY_USE = pytest.mark.parametrize(
    ("transport", "fs"), [(transport, fs) for transport in Transport for fs in (FsType.EXT4, None)]
)


@EVERY_USE
async def test_staged_volume_can_be_written(transport: Transport, fs: FsType | None) -> None:
    world = await published(transport, fs)
    await world.stage()
    path = f"{STAGING}/file" if fs else f"/dev/mapper/{world.device}"
    await world.user.write(path, b"data")
    assert await world.user.read(path, 4) == b"data"
    device = await world.user.dm.find(world.device)
    assert device is not None
    ending = "-1" if transport is Transport.LOCAL else "-1-iscsi"
    assert device.uuid == f"{DM_UUID_PREFIX}{VOLUME}{ending}"
    assert world.mounts() == ([STAGING] if fs else [])


@EVERY_USE
async def test_stage_again_changes_nothing(transport: Transport, fs: FsType | None) -> None:
    world = await published(transport, fs)
    await world.stage()
    seen = Recorder()
    world.use(seen)
    await world.stage()
    assert seen.names == []


@EVERY_USE
async def test_stage_after_reboot_is_made_anew(transport: Transport, fs: FsType | None) -> None:
    world = await published(transport, fs)
    await world.stage()
    await world.reboot()
    if transport is Transport.LOCAL:
        await world.store.lvm.activate(str(VOLUME), vg="vg0")
        await world.publish()
    await world.stage()
    assert world.mounts() == ([STAGING] if fs else [])
    await world.unstage()
    assert world.leftovers() == []


@pytest.mark.parametrize(
    ("fs", "options"),
    [(FsType.EXT4, {"rw", "errors=remount-ro", "noatime"}), (FsType.XFS, {"rw", "nouuid", "noatime"})],
)
async def test_mount_options(fs: FsType, options: set[str]) -> None:
    world = World(fs=fs)
    await world.make(size=512 * MIB)
    await world.publish()
    capability = dataclasses.replace(world.capability, mount_flags=("noatime",))
    await world.plugin.stage(world.stage_request(capability=capability))
    (mount,) = world.user.machine.mounts
    assert (mount.options | mount.super_options) - {"relatime"} == options


@pytest.mark.parametrize(("fs", "norecovery"), [(FsType.EXT4, "noload"), (FsType.XFS, "norecovery")])
async def test_write_protected_volume_is_mounted_without_a_write(fs: FsType, norecovery: str) -> None:
    world = World(fs=fs)
    await world.make(size=512 * MIB)
    world.readonly = True
    await world.publish()
    await world.stage()
    (mount,) = world.user.machine.mounts
    assert {"ro", norecovery} <= mount.options | mount.super_options
    assert world.network.violations == []


@BOTH
async def test_file_system_is_grown_to_its_device(transport: Transport) -> None:
    world = await published(transport)
    await world.extend(2 * SIZE)
    await world.stage()
    assert (await world.user.mounts.usage(STAGING)).total == 2 * SIZE


@pytest.mark.parametrize("volume", ["", "fake-vol-id", "vol-short-one", f"{VOLUME}x"])
async def test_id_of_unknown_form_is_not_found(volume: str) -> None:
    world = await published()
    with pytest.raises(NotFound):
        await world.plugin.stage(dataclasses.replace(world.stage_request(), volume=volume))


@pytest.mark.parametrize("fields", [{}, {"transport": "pigeon"}, {"foreign": "yes"}])
async def test_foreign_publish_context_is_refused(fields: dict[str, str]) -> None:
    world = await published()
    with pytest.raises(InvalidRequest, match="publish_context"):
        await world.plugin.stage(dataclasses.replace(world.stage_request(), publish_context=fields))


@pytest.mark.parametrize("path", ["relative/path", "/with/../dots", "/new\nline"])
async def test_staging_path_must_be_absolute(path: str) -> None:
    world = await published()
    with pytest.raises(InvalidRequest):
        await world.plugin.stage(world.stage_request(path=path))


@pytest.mark.parametrize(
    ("capability", "error"),
    [
        (dataclasses.replace(MOUNT, fs=FsType.XFS), Precondition),
        (BLOCK, Precondition),
        (Capability(AccessMode.MULTI_NODE_MULTI_WRITER, AccessType.MOUNT), InvalidRequest),
        (dataclasses.replace(MOUNT, mount_flags=("noatime,rw",)), InvalidRequest),
        (dataclasses.replace(MOUNT, mount_flags=("errors=continue",)), InvalidRequest),
    ],
)
async def test_use_that_the_volume_is_not_for_is_refused(capability: Capability, error: type[DriverError]) -> None:
    world = await published()
    with pytest.raises(error):
        await world.plugin.stage(world.stage_request(capability=capability))
    assert world.leftovers() == [f"file attachments/{VOLUME}"]


async def test_volume_without_file_system_is_not_mounted_nor_formatted() -> None:
    world = await published(fs=None)
    with pytest.raises(Precondition, match="without a file system"):
        await world.plugin.stage(world.stage_request(capability=MOUNT))
    assert world.user.machine.formats == []


@BOTH
async def test_blank_device_is_not_formatted(transport: Transport) -> None:
    """failures.md D1: the publication says ext4, and the device shows zeros."""
    world = World(transport, fs=None)
    await world.make()
    await world.publish()
    world.fs = FsType.EXT4
    with pytest.raises(DriverError, match="cannot mount") as caught:
        await world.stage()
    assert caught.value.final
    assert world.store.machine.formats == world.user.machine.formats == []
    assert [line for line in world.leftovers() if "attachments" not in line] == []


@BOTH
async def test_staged_elsewhere_or_otherwise_is_incompatible(transport: Transport) -> None:
    world = await published(transport)
    await world.stage()
    with pytest.raises(Incompatible):
        await world.plugin.stage(world.stage_request(path="/var/lib/kubelet/elsewhere"))
    other = dataclasses.replace(world.capability, mount_flags=("noatime",))
    with pytest.raises(Incompatible):
        await world.plugin.stage(world.stage_request(capability=other))
    assert world.mounts() == [STAGING]


@BOTH
async def test_staging_path_with_something_else_is_left_alone(transport: Transport) -> None:
    world = await published(transport)
    await world.store.lvm.create_thick("lv", vg="vg0", size=SIZE, tags=frozenset())
    if world.user is not world.store:
        world.user.add_group("vg1")
        await world.user.lvm.create_thick("lv", vg="vg1", size=SIZE, tags=frozenset())
    path = "/dev/mapper/vg0-lv" if world.user is world.store else "/dev/mapper/vg1-lv"
    await world.user.formatter.make(path, fs=FsType.EXT4, options=())
    await world.user.mounts.make_folder(STAGING)
    await world.user.mounts.mount(path, STAGING, fs=FsType.EXT4, options=())
    seen = Recorder()
    world.use(seen)
    with pytest.raises(Precondition, match="something else"):
        await world.stage()
    with pytest.raises(Precondition, match="left alone"):
        await world.unstage()
    assert seen.names == []
    assert world.mounts() == [STAGING]


async def test_local_device_that_is_not_there_yet_is_unavailable() -> None:
    world = World(Transport.LOCAL)
    await world.make()
    with pytest.raises(Unavailable, match="not made its device yet"):
        await world.stage()
    await world.publish()
    await world.stage()


async def test_local_device_of_another_publication_is_refused() -> None:
    world = World(Transport.LOCAL)
    await world.make()
    await world.publish(2)
    with pytest.raises(Precondition, match="not of publication 1"):
        await world.stage(1)
    assert world.leftovers() == []


async def test_fenced_local_device_is_refused() -> None:
    world = await published(Transport.LOCAL)
    await world.stage()
    await world.unpublish()
    with pytest.raises(Precondition):
        await world.stage()
    await world.unbind()
    await world.unstage()
    assert world.mounts() == []


# -- identity


async def test_disk_of_another_volume_is_never_mounted() -> None:
    """failures.md D2: the target's LUN leads to other data, and says so only when asked itself."""
    world = await published()
    serial = f"{paths.backstore(VOLUME)}/wwn"
    world.store.machine.target.root.at(serial).attributes["vpd_unit_serial"] = OTHER.serial
    seen = Recorder()
    world.use(seen)
    with pytest.raises(InternalError, match="is not the volume"):
        await world.stage()
    assert "mounts.mount" not in seen.names
    assert "dm.create" not in seen.names
    assert world.leftovers() == [f"file attachments/{VOLUME}"]


async def test_lun_that_is_not_mapped_is_never_mounted() -> None:
    world = await published()
    await world.store.configfs.unlink(f"{paths.acl(VOLUME, world.user.machine.initiator)}/lun_0/{paths.MAPPED_LINK}")
    with pytest.raises(DriverError):
        await world.stage()
    assert world.mounts() == []
    await world.unstage()
    assert [line for line in world.leftovers() if "attachments" not in line] == []


# -- the secret


async def test_missing_secret_is_wanted_and_its_arrival_lets_the_stage_through() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False)
    told: list[int] = []
    world.context.attachments.on_wanted(lambda: told.append(len(world.context.attachments.wanted())))
    with pytest.raises(Unavailable, match="secret"):
        await world.stage()
    assert world.context.attachments.wanted() == (VOLUME,)
    await world.context.attachments.hold(world.attachment())
    assert world.context.attachments.wanted() == ()
    assert told == [1, 0]
    await world.stage()


async def test_secret_of_an_earlier_publication_is_wanted_anew() -> None:
    world = World()
    await world.make()
    await world.publish(2, hold=False)
    await world.context.attachments.hold(world.attachment(1))
    with pytest.raises(Unavailable):
        await world.stage(2)
    assert world.context.attachments.wanted() == (VOLUME,)


async def test_stage_of_an_earlier_publication_wants_nothing() -> None:
    world = await published()
    await world.context.attachments.hold(world.attachment(2))
    with pytest.raises(Unavailable, match="anew as 2"):
        await world.stage(1)
    assert world.context.attachments.wanted() == ()


async def test_secret_that_the_target_refuses_is_wanted_anew() -> None:
    world = World()
    await world.make()
    await world.publish(hold=False, secret="t")
    await world.context.attachments.hold(world.attachment(secret="s"))
    with pytest.raises(Unavailable, match="refuses"):
        await world.stage()
    assert world.context.attachments.wanted() == (VOLUME,)
    await world.context.attachments.hold(world.attachment(secret="t"))
    await world.stage()


async def test_lost_secret_is_not_needed_while_the_session_stands() -> None:
    world = await published()
    world.use(FailAt(_number(await effects_of_stage(), "mounts.mount"), Unavailable("not now")))
    with pytest.raises(Unavailable):
        await world.stage()
    world.user.machine.disks.records.clear()
    await world.restart()
    await world.stage()
    assert world.context.attachments.wanted() == ()


# -- sessions


async def test_target_that_does_not_answer_is_unavailable() -> None:
    world = await published()
    world.network.cut("store", "user")
    with pytest.raises(Unavailable):
        await world.stage()
    world.network.heal("store", "user")
    await world.stage()


async def test_session_of_an_earlier_publication_is_replaced() -> None:
    """Fenced while it was staged; the record of the stage was lost."""
    world = await published()
    await world.stage()
    await world.unpublish()
    world.user.machine.disks.records.clear()
    await world.publish(2, secret="t")
    await world.restart()
    await world.context.attachments.hold(world.attachment(2, "t"))
    await world.user.mounts.unmount(STAGING)
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []


async def test_stage_of_an_earlier_publication_is_taken_down_first() -> None:
    world = await published()
    await world.stage()
    await world.unpublish()
    await world.publish(2, secret="t")
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []
    with pytest.raises(Precondition, match="later than 1"):
        await world.stage(1)
    await world.unstage()
    assert world.leftovers() == []


async def test_local_stage_of_an_earlier_publication_is_taken_down_first() -> None:
    world = await published(Transport.LOCAL)
    await world.stage()
    await world.unpublish()
    await world.publish(2)
    await world.stage(2)
    await world.user.write(f"{STAGING}/file", b"data")
    assert world.network.violations == []


async def test_earlier_publication_that_is_still_shown_is_not_taken_down() -> None:
    world = await published()
    await world.stage()
    await world.bind()
    await world.unpublish()
    await world.publish(2, secret="t")
    with pytest.raises(Precondition, match="still published"):
        await world.stage(2)
    await world.unbind()
    await world.stage(2)


async def test_half_made_stage_over_a_session_that_died_begins_anew() -> None:
    world = await published()
    world.use(FailAt(_number(await effects_of_stage(), "mounts.mount"), Unavailable("not now")))
    with pytest.raises(Unavailable):
        await world.stage()
    world.use(Recorder())
    await world.unpublish()
    await world.publish(secret="t")
    await world.stage()
    await world.user.write(f"{STAGING}/file", b"data")


# -- jobs and crashes


async def test_deadline_ends_the_wait_and_a_retry_joins() -> None:
    world = await published()
    gate = asyncio.Event()
    seen = DelayAt(_number(await effects_of_stage(), "iscsi.login"), gate)
    world.use(seen)
    with deadline.expires_in(0.25), pytest.raises(StillWorking):
        await world.stage()
    with pytest.raises(Busy):
        await world.unstage()
    again = asyncio.create_task(world.stage())
    await asyncio.sleep(0)
    gate.set()
    await again
    assert seen.names.count("iscsi.login") == 1


async def effects_of_stage(transport: Transport = Transport.ISCSI, fs: FsType | None = FsType.EXT4) -> list[str]:
    """The effects of an undisturbed stage, in order; of a volume that has grown meanwhile."""
    world = await published(transport, fs)
    await world.extend(2 * SIZE)
    seen = Recorder()
    world.use(seen)
    await world.stage()
    return seen.names


def _number(names: list[str], name: str) -> int:
    return names.index(name) + 1


async def test_effects_of_a_stage() -> None:
    assert await effects_of_stage() == [
        "state.put",
        "iscsi.put_record",
        "iscsi.login",
        "devices.scan",
        "dm.create",
        "dm.load",
        "dm.resume",
        "mounts.make_folder",
        "mounts.mount",
        "fs.grow",
        "state.put",
    ]
    assert await effects_of_stage(Transport.LOCAL) == [
        "state.put",
        "mounts.make_folder",
        "mounts.mount",
        "fs.grow",
        "state.put",
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_stage_again(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_stage(transport, fs))
    for number in range(1, total + 1):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.stage()
        await world.restart()
        await world.stage()
        path = f"{STAGING}/file" if fs else f"/dev/mapper/{world.device}"
        await world.user.write(path, b"data")
        assert world.mounts() == ([STAGING] if fs else [])
        assert await world.user.devices.size(await devno(world)) == 2 * SIZE
        await world.unstage()
        assert world.leftovers() == []
        assert world.network.violations == []


@pytest.mark.parametrize("when", ["before", "after"])
@EVERY_USE
async def test_crash_at_every_effect_then_unstage(transport: Transport, fs: FsType | None, when: str) -> None:
    total = len(await effects_of_stage(transport, fs))
    for number in range(1, total + 1):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(KillAt(number, "before" if when == "before" else "after"))
        with pytest.raises(Killed):
            await world.stage()
        await world.restart()
        await world.unstage()
        # A stage that has written nothing down has not used up its publication.
        untouched = transport is Transport.ISCSI and number == 1 and when == "before"
        assert world.leftovers() == ([f"file attachments/{VOLUME}"] if untouched else [])


@EVERY_USE
async def test_final_error_at_every_effect_leaves_nothing(transport: Transport, fs: FsType | None) -> None:
    """After a final error Kubernetes need not call unstage."""
    total = len(await effects_of_stage(transport, fs))
    for number in range(2, total):
        world = await published(transport, fs)
        await world.extend(2 * SIZE)
        world.use(FailAt(number, InternalError("broken")))
        with pytest.raises(InternalError, match="broken"):
            await world.stage()
        assert [line for line in world.leftovers() if "attachments" not in line] == []
        world.use(Recorder())
        await world.stage()


async def devno(world: World) -> tuple[int, int]:
    device = await world.user.dm.find(world.device)
    assert device is not None
    return device.devno


async def test_request_with_extra_context_is_fine() -> None:
    world = await published()
    request = world.stage_request()
    fields = {**request.publish_context, "later": "field"}
    await world.plugin.stage(
        StageRequest(
            volume=request.volume,
            staging_path=f"{STAGING}/",
            capability=request.capability,
            publish_context=fields,
            volume_context={"anything": "goes"},
        )
    )
    assert world.mounts() == [STAGING]
