"""The bytes of device-mapper's ioctls (include/uapi/linux/dm-ioctl.h); pure."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag

from csi_driver.host.doors import DmLine

HEADER = struct.Struct("=3I 2I I i 3I Q 128s 129s 7x")
"""struct dm_ioctl: version, data_size, data_start, target_count, open_count, flags, event_nr, padding, dev, name,
uuid."""
SPEC = struct.Struct("=Q Q i I 16s")
"""struct dm_target_spec: sector_start, length, status, next, target_type; its arguments follow as a C string."""
NAME_LIST = struct.Struct("=Q I")
"""struct dm_name_list: dev, next; a name follows as a C string, and more."""

VERSION = (4, 0, 0)
"""The oldest interface that will do: the kernel checks that the major number is its own."""
ROOM = 16 << 10
"""Bytes of a first buffer; the kernel says when it needs a larger one."""
_IOWR = 0xC138FD00
"""_IOWR(DM_IOCTL = 0xfd, nr, struct dm_ioctl): its size is 0x138."""


class Command(IntEnum):
    """The numbers of the commands that we use."""

    LIST_DEVICES = 2
    DEV_CREATE = 3
    DEV_REMOVE = 4
    DEV_RENAME = 5
    DEV_SUSPEND = 6
    DEV_STATUS = 7
    TABLE_LOAD = 9
    TABLE_STATUS = 12

    @property
    def request(self) -> int:
        """What ioctl(2) takes."""
        return _IOWR | self.value


class Flag(IntFlag):
    """``flags`` of struct dm_ioctl, as far as used."""

    READONLY = 1 << 0
    SUSPEND = 1 << 1
    STATUS_TABLE = 1 << 4
    ACTIVE_PRESENT = 1 << 5
    BUFFER_FULL = 1 << 8
    SKIP_LOCKFS = 1 << 10
    NOFLUSH = 1 << 11


QUIET_COOKIE = (0x40 | 0x08 | 0x04) << 16 | 1
"""``event_nr`` for devices of ours: udev flags in the upper half (from the primary source, no other rules, no disk
rules: libdevmapper.h), and a cookie that no semaphore has. Without the first flag udev ignores the others."""
NO_COOKIE = 0
"""For devices of others: udev keeps the flags that their owner gave them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """struct dm_ioctl as values. A device is meant by its uuid, else its name, else its number."""

    flags: Flag = Flag(0)
    name: str = ""
    uuid: str = ""
    target_count: int = 0
    open_count: int = 0
    event: int = 0
    devno: tuple[int, int] | None = None
    size: int = field(default=HEADER.size)
    start: int = field(default=HEADER.size)


def pack(header: Header, payload: bytes = b"", room: int = ROOM) -> bytearray:
    """A buffer for the kernel: the header, the payload, and zeros up to ``room`` bytes."""
    size = max(HEADER.size + len(payload), room)
    head = HEADER.pack(
        *VERSION,
        size,
        HEADER.size,
        header.target_count,
        0,
        header.flags.value,
        header.event,
        0,
        os.makedev(*header.devno) if header.devno else 0,
        header.name.encode(),
        header.uuid.encode(),
    )
    return bytearray((head + payload).ljust(size, b"\0"))


def unpack(buffer: bytes | bytearray) -> Header:
    """The header of what the kernel gave back."""
    _, _, _, size, start, targets, opened, flags, event, _, dev, name, uuid = HEADER.unpack_from(buffer)
    return Header(
        flags=Flag(flags & _KNOWN),
        name=_text(name),
        uuid=_text(uuid),
        target_count=targets,
        open_count=opened,
        event=event,
        devno=devno_of(dev) if dev else None,
        size=size,
        start=start,
    )


_KNOWN = sum(flag.value for flag in Flag)


def devno_of(dev: int) -> tuple[int, int]:
    """Major and minor of the kernel's huge_encode_dev, which is glibc's dev_t."""
    return os.major(dev), os.minor(dev)


def pack_lines(lines: tuple[DmLine, ...]) -> bytes:
    """The payload of TABLE_LOAD. Each ``next`` counts from its own spec and is a multiple of 8."""
    payload = b""
    for line in lines:
        arguments = line.args.encode() + b"\0"
        size = -(-(SPEC.size + len(arguments)) // 8) * 8
        spec = SPEC.pack(line.start, line.length, 0, size, line.target.encode())
        payload += (spec + arguments).ljust(size, b"\0")
    return payload


def unpack_lines(buffer: bytes | bytearray, header: Header) -> tuple[DmLine, ...]:
    """The payload of TABLE_STATUS. Here each ``next`` counts from the start of the data."""
    lines: list[DmLine] = []
    at = header.start
    for _ in range(header.target_count):
        start, length, _, following, target = SPEC.unpack_from(buffer, at)
        lines.append(DmLine(start, length, _text(target), _string(buffer, at + SPEC.size)))
        at = header.start + following
    return tuple(lines)


def unpack_devices(buffer: bytes | bytearray, header: Header) -> Iterator[tuple[int, int]]:
    """The payload of LIST_DEVICES: device numbers. With no device there is one entry whose number is 0."""
    at = header.start
    while True:
        dev, following = NAME_LIST.unpack_from(buffer, at)
        if dev:
            yield devno_of(dev)
        if not following:
            return
        at += following


def _string(buffer: bytes | bytearray, at: int) -> str:
    return bytes(buffer[at : buffer.index(0, at)]).decode(errors="replace")


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode(errors="replace")
