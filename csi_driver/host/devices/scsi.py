"""SCSI commands and what their answers mean, as bytes (SPC-4 and SBC-3 of T10)."""

from __future__ import annotations

from csi_driver.errors import Unavailable

ANSWER_LENGTH = 252
"""Bytes asked for, in each command and of the ioctl that carries it: the target's kernel complains in its log when
they differ. What one length byte of MODE SENSE(6) can say."""
_NAA_DESIGNATOR, _BINARY = 3, 1
UNIT_ATTENTION = 6


def inquiry(page: int) -> bytes:
    """INQUIRY of a vital product data page (SPC-4 6.6)."""
    return bytes((0x12, 0x01, page, 0, ANSWER_LENGTH, 0))


def read_capacity() -> bytes:
    """READ CAPACITY(16) (SBC-3 5.16)."""
    return bytes((0x9E, 0x10, *bytes(8), 0, 0, 0, ANSWER_LENGTH, 0, 0))


def mode_sense() -> bytes:
    """MODE SENSE(6) of all pages, without block descriptors: for its header alone (SPC-4 6.11)."""
    return bytes((0x1A, 0x08, 0x3F, 0, ANSWER_LENGTH, 0))


def serial(page: bytes) -> str:
    """The unit serial number of page 0x80."""
    return _body(page, 0x80).decode("ascii", "replace").strip("\0 ")


def naa(page: bytes) -> str:
    """The NAA designator of page 0x83 in lower-case hex digits; empty when the device has none."""
    rest = _body(page, 0x83)
    while len(rest) >= 4:
        length = rest[3]
        is_unit = (rest[1] >> 4) & 0b11 == 0  # not of a port or a target
        if is_unit and rest[0] & 0x0F == _BINARY and rest[1] & 0x0F == _NAA_DESIGNATOR:
            return rest[4 : 4 + length].hex()
        rest = rest[4 + length :]
    return ""


def capacity(answer: bytes) -> int:
    """Bytes: number of the last block, plus one, times their length."""
    if len(answer) < 12:
        raise Unavailable("the device answers READ CAPACITY with less than a capacity")
    return (int.from_bytes(answer[:8], "big") + 1) * int.from_bytes(answer[8:12], "big")


def write_protected(answer: bytes) -> bool:
    """The WP bit of the mode parameter header."""
    if len(answer) < 3:
        raise Unavailable("the device answers MODE SENSE with less than a header")
    return bool(answer[2] & 0x80)


def sense_key(sense: bytes) -> int:
    """The sense key, fixed or descriptor format; 0 when there is none."""
    if len(sense) < 3:
        return 0
    return (sense[1] if sense[0] & 0x7F in (0x72, 0x73) else sense[2]) & 0x0F


def _body(page: bytes, number: int) -> bytes:
    if len(page) < 4 or page[1] != number:
        raise Unavailable(f"the device does not answer with its page {number:#x}")
    return page[4 : 4 + int.from_bytes(page[2:4], "big")]
