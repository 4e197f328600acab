"""NodeStageVolume on simulated hosts."""

import dataclasses

import pytest

from csi_driver.errors import (
    DriverError,
    Incompatible,
    InternalError,
    InvalidRequest,
    NotFound,
    Precondition,
    Unavailable,
)
from csi_driver.host.lio import paths
from csi_driver.model.access import AccessMode, AccessType, Capability, FsType
from csi_driver.model.ids import DM_UUID_PREFIX
from csi_driver.model.publication import Transport
from csi_driver.model.sizes import MIB
from csi_driver.node.requests import StageRequest
from csi_driver.testing.faults import Recorder
from tests.unit.node_world import BLOCK, BOTH, EVERY_USE, MOUNT, OTHER, SIZE, STAGING, VOLUME, World, published


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
    assert world.leftovers() == []


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
    assert world.leftovers() == []


async def test_lun_that_is_not_mapped_is_never_mounted() -> None:
    world = await published()
    await world.store.configfs.unlink(f"{paths.acl(VOLUME, world.user.machine.initiator)}/lun_0/{paths.MAPPED_LINK}")
    with pytest.raises(DriverError):
        await world.stage()
    assert world.mounts() == []
    await world.unstage()
    assert [line for line in world.leftovers() if "attachments" not in line] == []


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
