"""The bytes of device-mapper's ioctls."""

import struct

import pytest

from csi_driver.host.dm import tables, wire
from csi_driver.host.doors import DmLine


def test_sizes_and_numbers_are_the_kernels() -> None:
    assert (wire.HEADER.size, wire.SPEC.size) == (312, 40)
    assert wire.Command.TABLE_LOAD.request == 0xC138FD09
    assert wire.Command.DEV_SUSPEND.request == 0xC138FD06


def test_a_header_is_read_as_it_was_written() -> None:
    header = wire.Header(
        name="vol-a", uuid="CLINKER-vol-a-1", flags=wire.Flag.SUSPEND | wire.Flag.NOFLUSH, event=7, devno=(254, 300)
    )
    buffer = wire.pack(header, b"payload")
    read = wire.unpack(buffer)
    assert (read.name, read.uuid, read.flags, read.event) == (header.name, header.uuid, header.flags, 7)
    assert (read.size, read.start, read.devno) == (len(buffer), 312, (254, 300))
    assert buffer[312:319] == b"payload"
    assert struct.unpack_from("=I", buffer) == (4,)
    # Offsets of include/uapi/linux/dm-ioctl.h.
    assert struct.unpack_from("=I", buffer, 28) == ((1 << 1) | (1 << 11),)
    assert buffer[48:53] == b"vol-a"
    assert buffer[176:183] == b"CLINKER"


def test_names_of_full_length_fit() -> None:
    read = wire.unpack(wire.pack(wire.Header(name="n" * 127, uuid="u" * 128)))
    assert (read.name, read.uuid) == ("n" * 127, "u" * 128)


@pytest.mark.parametrize("room", [312, 64 << 10])
def test_a_payload_is_never_cut(room: int) -> None:
    assert wire.pack(wire.Header(), b"x" * 1000, room)[312:1312] == b"x" * 1000


def test_lines_of_a_table_follow_each_other() -> None:
    lines = (DmLine(0, 8, "linear", "254:3 0"), DmLine(8, 16, "error"), DmLine(24, 1, "thin", "254:3 12"))
    payload = wire.pack_lines(lines)
    assert len(payload) % 8 == 0
    start, length, _, following, target = wire.SPEC.unpack_from(payload)
    assert (start, length, target.rstrip(b"\0"), following % 8) == (0, 8, b"linear", 0)
    start, length, *_ = wire.SPEC.unpack_from(payload, following)
    assert (start, length) == (8, 16)


def test_a_status_is_read_with_its_own_meaning_of_next() -> None:
    """In what the kernel gives back, ``next`` counts from the start of the data, not from the line."""
    first = wire.SPEC.pack(0, 8, 0, 48, b"linear") + b"254:3 0\0"
    second = wire.SPEC.pack(8, 16, 0, 96, b"error") + b"\0".ljust(8, b"\0")
    buffer = wire.pack(wire.Header(target_count=2), first + second)
    assert wire.unpack_lines(buffer, wire.unpack(buffer)) == (
        DmLine(0, 8, "linear", "254:3 0"),
        DmLine(8, 16, "error", ""),
    )


def test_a_list_of_devices() -> None:
    entry = struct.Struct("=Q I 12s")
    payload = entry.pack(0xFE03, 24, b"one") + entry.pack(0xFE04, 0, b"two")
    buffer = wire.pack(wire.Header(), payload)
    assert list(wire.unpack_devices(buffer, wire.unpack(buffer))) == [(254, 3), (254, 4)]
    empty = wire.pack(wire.Header(), wire.NAME_LIST.pack(0, 0))
    assert list(wire.unpack_devices(empty, wire.unpack(empty))) == []


def test_tables() -> None:
    assert tables.linear((254, 3), 8) == (DmLine(0, 8, "linear", "254:3 0"),)
    assert tables.thin((254, 2), 5, 8) == (DmLine(0, 8, "thin", "254:2 5"),)
    assert tables.below(tables.linear((254, 3), 8, offset=16)[0]) == ((254, 3), 16)
    assert tables.below(tables.error(8)[0]) is None
    assert tables.length((DmLine(0, 8, "error"), DmLine(8, 16, "error"))) == 24
    assert tables.length(()) == 0


def test_an_error_table_is_one_of_errors_alone() -> None:
    assert tables.is_error(tables.error(8))
    assert not tables.is_error(())
    assert not tables.is_error((*tables.error(8), DmLine(8, 8, "linear", "254:3 0")))


def test_names_that_lvm_gives() -> None:
    assert tables.mapper_name("vg0", "pool") == "vg0-pool"
    assert tables.mapper_name("my-vg", "vol-a-b") == "my--vg-vol--a--b"
