"""Attachments, stage records and mount options of the node plugin."""

import dataclasses
import logging
from pathlib import Path

import pytest

from csi_driver.errors import InvalidRequest, Precondition
from csi_driver.kit.effects import Effects
from csi_driver.kit.state import RecordFiles
from csi_driver.model.access import AccessType, FsType
from csi_driver.model.publication import Attachment, Transport
from csi_driver.model.secret import Secret
from csi_driver.node.attachments import Attachments
from csi_driver.node.mount_options import checked, options
from csi_driver.node.stages import Stage, Stages
from csi_driver.testing.faults import KillAt, Killed, Recorder
from csi_driver.testing.host import SimHost
from csi_driver.testing.records import SimRecords
from tests.unit.node_world import OTHER, STAGING, VOLUME, published

SECRET = "correct-horse-battery-staple-1234"
ATTACHMENT = Attachment(
    volume=VOLUME, number=5, portals=("10.0.0.1:3260", "[fd00::1]:3260"), chap_user="user", secret=Secret(SECRET)
)
STAGE = Stage(
    volume=VOLUME,
    number=5,
    transport=Transport.ISCSI,
    staging_path=STAGING,
    access=AccessType.MOUNT,
    readonly=True,
    fs=FsType.XFS,
    mount_flags=("noatime",),
    portals=("10.0.0.1:3260",),
)


def attachments(records: RecordFiles | SimRecords) -> Attachments:
    return Attachments(records, SimHost().initiator)


# -- attachments


async def test_attachment_outlives_the_process(tmp_path: Path) -> None:
    folder = tmp_path / "attachments"
    await attachments(RecordFiles(folder, Effects())).hold(ATTACHMENT)
    again = attachments(RecordFiles(folder, Effects()))
    assert again.get(VOLUME) == ATTACHMENT
    assert [oct(path.stat().st_mode & 0o777) for path in folder.iterdir()] == ["0o600"]
    await again.release(VOLUME, 9)
    assert list(folder.iterdir()) == []
    assert again.get(VOLUME) is None


async def test_later_publication_replaces_and_earlier_is_refused() -> None:
    held = attachments(SimRecords())
    await held.hold(ATTACHMENT)
    later = dataclasses.replace(ATTACHMENT, number=6)
    await held.hold(later)
    with pytest.raises(Precondition, match="later than 5"):
        await held.hold(ATTACHMENT)
    assert held.get(VOLUME) == later


async def test_same_publication_may_get_a_new_secret() -> None:
    held = attachments(SimRecords())
    await held.hold(ATTACHMENT)
    renewed = dataclasses.replace(ATTACHMENT, secret=Secret("other"))
    await held.hold(renewed)
    assert held.get(VOLUME) == renewed


async def test_hold_again_writes_nothing() -> None:
    seen = Recorder()
    held = attachments(SimRecords(effects=seen))
    await held.hold(ATTACHMENT)
    await held.hold(ATTACHMENT)
    assert seen.names == ["state.put"]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_crash_in_hold_and_release(when: str) -> None:
    disk: dict[str, bytes] = {}
    kill = KillAt(1, "before" if when == "before" else "after")
    with pytest.raises(Killed):
        await attachments(SimRecords(disk, kill)).hold(ATTACHMENT)
    held = attachments(SimRecords(disk))
    await held.hold(ATTACHMENT)
    kill = KillAt(1, "before" if when == "before" else "after")
    with pytest.raises(Killed):
        await attachments(SimRecords(disk, kill)).release(VOLUME, 9)
    held = attachments(SimRecords(disk))
    await held.release(VOLUME, 9)
    assert disk == {}


async def test_release_of_what_is_not_held_is_fine() -> None:
    held = attachments(SimRecords())
    await held.release(VOLUME, 9)
    assert held.wanted() == ()


async def test_release_takes_the_node_record_but_not_from_a_session() -> None:
    world = await published()
    await world.stage()
    records = world.user.machine.disks.node_records
    await world.context.attachments.release(VOLUME, 9)
    assert len(records) == 1
    assert world.context.attachments.get(VOLUME) is None
    await world.context.attachments.hold(world.attachment())
    await world.user.initiator.logout(VOLUME.iqn)
    await world.context.attachments.release(VOLUME, 9)
    assert records == {}


async def test_wanted_is_sorted_and_cleared_by_hold_and_release() -> None:
    held = attachments(SimRecords())
    told: list[tuple[object, ...]] = []
    held.on_change(lambda: told.append(held.wanted()))
    both = tuple(sorted((VOLUME, OTHER)))
    held.want(VOLUME)
    held.want(OTHER)
    held.want(OTHER)
    assert held.wanted() == both
    await held.hold(ATTACHMENT)
    await held.release(OTHER, 9)
    assert told == [(VOLUME,), both, both, (OTHER,), ()]


async def test_refused_hold_leaves_the_wish() -> None:
    held = attachments(SimRecords())
    await held.hold(ATTACHMENT)
    held.want(VOLUME)
    with pytest.raises(Precondition):
        await held.hold(dataclasses.replace(ATTACHMENT, number=4))
    assert held.wanted() == (VOLUME,)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"volume": "no"}', b'{"secret": "correct-horse', b"\xff"])
async def test_attachment_that_cannot_be_read_is_left_out_and_not_logged(
    content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    disk = {"broken": content}
    await attachments(SimRecords(disk)).hold(ATTACHMENT)
    with caplog.at_level(logging.DEBUG):
        held = attachments(SimRecords(disk))
    assert held.get(VOLUME) == ATTACHMENT
    assert "cannot be read" in caplog.text
    assert "correct-horse" not in caplog.text


async def test_secret_reaches_no_log_and_no_repr(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        held = attachments(SimRecords())
        await held.hold(ATTACHMENT)
        with pytest.raises(Precondition) as caught:
            await held.hold(dataclasses.replace(ATTACHMENT, number=1))
        await held.release(VOLUME, 9)
    assert SECRET not in caplog.text + str(caught.value) + repr(ATTACHMENT)


# -- stages


async def test_stage_outlives_the_process() -> None:
    disk: dict[str, bytes] = {}
    await Stages(SimRecords(disk)).begin(STAGE)
    assert Stages(SimRecords(disk)).get(VOLUME) == STAGE
    await Stages(SimRecords(disk)).finish(STAGE)
    stages = Stages(SimRecords(disk))
    assert stages.all() == (dataclasses.replace(STAGE, done=True),)
    await stages.remove(VOLUME)
    await stages.remove(VOLUME)
    assert disk == {}


async def test_stage_record_is_written_only_when_it_changes() -> None:
    seen = Recorder()
    stages = Stages(SimRecords(effects=seen))
    await stages.begin(STAGE)
    await stages.begin(STAGE)
    await stages.finish(STAGE)
    await stages.finish(STAGE)
    await stages.remove(OTHER)
    assert seen.names == ["state.put", "state.put"]


async def test_local_stage_uses_the_owners_wrapper() -> None:
    local = dataclasses.replace(STAGE, transport=Transport.LOCAL)
    assert (local.device, local.uuid) == (str(VOLUME), VOLUME.wrapper_uuid(5))
    assert (STAGE.device, STAGE.uuid) == (VOLUME.consumer_device, VOLUME.consumer_uuid(5))


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"portals": ("10.0.0.9:3260",)}, True),
        ({"done": True}, True),
        ({"staging_path": "/elsewhere"}, False),
        ({"readonly": False}, False),
        ({"mount_flags": ('context="system_u:object_r:container_file_t:s0:c1,c2"',)}, False),
        ({"access": AccessType.BLOCK, "fs": None}, False),
    ],
)
async def test_same_use(change: dict[str, object], same: bool) -> None:
    assert dataclasses.replace(STAGE, **change).same_use(STAGE) is same  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"volume": "no"}', b"\xff"])
async def test_stage_that_cannot_be_read_is_left_out(content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert Stages(SimRecords({"broken": content})).all() == ()
    assert "cannot be read" in caplog.text


# -- mount options


@pytest.mark.parametrize(
    "flag",
    [
        "noatime",
        "discard",
        "commit=30",
        "logbufs=8",
        'context="system_u:object_r:container_file_t:s0:c1,c2"',
        "context=system_u:object_r:container_file_t:s0",
    ],
)
def test_options_that_may_be_asked_for(flag: str) -> None:
    assert checked((flag, flag)) == (flag,)


@pytest.mark.parametrize(
    "flag",
    [
        "",
        "noatime,suid",
        "noatime\nsuid",
        "no atime",
        "-o",
        "data=ordered,errors=continue",
        "errors=continue",
        "nouuid",
        "noload",
        "norecovery",
        "remount",
        "bind",
        "loop",
        "offset=4096",
        "X-mount.mkdir",
        "x-systemd.automount",
        'context="a,b',
        'context="a",suid',
        "context=a\n",
        "helper=/bin/sh",
    ],
)
def test_options_that_may_not_be_asked_for(flag: str) -> None:
    with pytest.raises(InvalidRequest, match="mount option"):
        checked((flag,))


def test_readonly_is_not_loosened() -> None:
    assert options(FsType.EXT4, ("rw", "noatime"), readonly=True) == ("ro", "noload", "errors=remount-ro", "noatime")
    assert options(FsType.XFS, (), readonly=True) == ("ro", "norecovery", "nouuid")
    assert options(FsType.XFS, ("noatime",), readonly=False) == ("nouuid", "noatime")
