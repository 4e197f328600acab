"""The lvm shell's answers, as recorded."""

import pytest

from csi_driver.errors import (
    Busy,
    CommandFailed,
    DriverError,
    Incompatible,
    NoCapacity,
    NotFound,
    StillWorking,
)
from csi_driver.host.doors import LogicalVolume, PhysicalVolume
from csi_driver.host.lvm.answers import Answer, parse_answer
from csi_driver.host.lvm.commands import parse_report
from csi_driver.host.lvm.failures import failure, has_that_size
from csi_driver.model.sizes import GIB, MIB
from tests.unit.lvm_outputs import CREATED, FREED_MEMORY, NO_GROUP, REMOVED_WITHOUT_STATUS, REPORT, refused


def parsed(came: bytes) -> Answer:
    answer = parse_answer(came)
    assert answer is not None
    return answer


@pytest.mark.parametrize("whole", [REPORT, NO_GROUP, CREATED, FREED_MEMORY])
def test_an_answer_is_whole_at_its_last_byte_and_not_before(whole: bytes) -> None:
    assert [end for end in range(len(whole)) if parse_answer(whole[:end]) is not None] == []
    assert parse_answer(whole) is not None


def test_success() -> None:
    answer = parsed(CREATED)
    assert answer.ok
    assert answer.errors == ()
    assert answer.warnings == ("WARNING: This metadata update is NOT backed up.",)


def test_texts_of_freed_memory_do_no_harm() -> None:
    assert parsed(FREED_MEMORY).ok


def test_an_answer_without_the_last_word_is_not_known_to_be_over() -> None:
    answer = parsed(REMOVED_WITHOUT_STATUS)
    assert not answer.ok
    assert isinstance(failure("lvremove", answer), StillWorking)


def test_an_answer_that_is_no_json_is_not_known_to_be_over() -> None:
    answer = parsed(b'  {\n      "log": [\n          {"log_type": "\\x"}\n      ]\n  }\n')
    assert not answer.ok
    assert isinstance(failure("lvremove", answer), StillWorking)


OFF = "ThyW2B-zVvf-oDtd-pFfM-tb1T-wV6u-NJiXsh"
"""Of the volume that is not active."""


def test_report() -> None:
    group = parse_report("vg0", parsed(REPORT))
    assert (group.name, group.size, group.free, group.extent) == ("vg0", 4290772992, 3141533696, 4 * MIB)
    assert (group.uuid, group.missing) == ("LrGYpj-TdLe-1OMD-Ec6y-vdT8-22AS-ctWgtV", 0)
    assert (group.metadata_size, group.metadata_free) == (1044480, 518656)
    assert group.volumes == (
        LogicalVolume(
            vg="vg0",
            name="pool",
            uuid="d20mS7-n8cb-0All-9A4g-cK3D-dwTq-4cIfnp",
            size=GIB,
            tags=frozenset(),
            layout="thin-pool",
            active=True,
            devno=(254, 2),
            metadata_percent=11.04,
            metadata_size=4 * MIB,
            zeroing=True,
            data_layout="linear",
            when_full="queue",
        ),
        LogicalVolume(
            vg="vg0",
            name="vol-a",
            uuid="bsdB4C-wJNI-v8Uw-lufz-WBOj-r23a-2FbJkx",
            size=128 * MIB,
            tags=frozenset({"clinker.id=vol-a", "clinker.name=pvc/a"}),
            pool="pool",
            layout="thin",
            active=True,
            devno=(254, 4),
            thin_id=1,
        ),
        LogicalVolume(vg="vg0", name="vol-b", uuid=OFF, size=64 * MIB, tags=frozenset()),
    )


def test_report_of_the_disks() -> None:
    assert parse_report("vg0", parsed(REPORT)).disks == (PhysicalVolume("/dev/ubdb", 4290772992, 3141533696),)


def test_a_report_without_the_group_is_not_found() -> None:
    with pytest.raises(NotFound):
        parse_report("vg1", parsed(REPORT))
    assert isinstance(failure("fullreport", parsed(NO_GROUP)), NotFound)


THRESHOLD = "Cannot create new thin volume, free space in thin pool vg0/pool reached threshold."


@pytest.mark.parametrize(
    ("messages", "meaning"),
    [
        (['Volume group "nosuch" not found', "Cannot process volume group nosuch"], NotFound),
        (['Failed to find logical volume "vg0/nosuch"'], NotFound),
        (['Logical Volume "vol-b" already exists in volume group "vg0"'], Incompatible),
        (['Volume group "vg0" has insufficient free space (749 extents): 25600 required.'], NoCapacity),
        (["Insufficient free space: 127936 extents needed, but only 621 available"], NoCapacity),
        ([THRESHOLD], NoCapacity),
        (["Number of stripes (5) must not exceed number of physical volumes (4)"], NoCapacity),
        (["Thin pool vg0-pool-tpool transaction_id is 331, while expected 329.", THRESHOLD], CommandFailed),
        (["Logical volume vg0/vol-b in use."], Busy),
        (["Logical volume vg0/vol-m is used by another device."], Busy),
        (["Logical volume vg0/vol-m contains a filesystem in use."], Busy),
        (["Pool nopool not found in Volume group vg0."], CommandFailed),
        (["New size given (125 extents) not larger than existing size (150 extents)"], CommandFailed),
        (["Can't get lock for vg0"], CommandFailed),
        ([], CommandFailed),
    ],
)
def test_messages_are_errors_by_meaning(messages: list[str], meaning: type[DriverError]) -> None:
    error = failure("lvcreate", parsed(refused(*messages)))
    assert type(error) is meaning
    assert all(message in str(error) for message in messages)


def test_a_volume_of_the_size_asked_for() -> None:
    assert has_that_size(parsed(refused("No size change.")))
    assert not has_that_size(parsed(refused("New size given (1 extents) not larger than existing size (2 extents)")))
