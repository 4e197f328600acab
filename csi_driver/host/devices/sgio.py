"""SCSI commands by the SG_IO ioctl (the kernel's ``scsi/sg.h``). These functions block."""

from __future__ import annotations

import ctypes
import fcntl

from csi_driver.errors import Unavailable
from csi_driver.host.devices import scsi

_SG_IO = 0x2285
_FROM_DEVICE = -3
_CHECK_CONDITION = 0x02
_ATTEMPTS = 4
"""A unit attention (after login, a resize, a reset) is told once and then gone; several may stand in line."""


class _Header(ctypes.Structure):
    """``struct sg_io_hdr``. Times in milliseconds."""

    _fields_ = (
        ("interface_id", ctypes.c_int),
        ("dxfer_direction", ctypes.c_int),
        ("cmd_len", ctypes.c_ubyte),
        ("mx_sb_len", ctypes.c_ubyte),
        ("iovec_count", ctypes.c_ushort),
        ("dxfer_len", ctypes.c_uint),
        ("dxferp", ctypes.c_void_p),
        ("cmdp", ctypes.c_void_p),
        ("sbp", ctypes.c_void_p),
        ("timeout", ctypes.c_uint),
        ("flags", ctypes.c_uint),
        ("pack_id", ctypes.c_int),
        ("usr_ptr", ctypes.c_void_p),
        ("status", ctypes.c_ubyte),
        ("masked_status", ctypes.c_ubyte),
        ("msg_status", ctypes.c_ubyte),
        ("sb_len_wr", ctypes.c_ubyte),
        ("host_status", ctypes.c_ushort),
        ("driver_status", ctypes.c_ushort),
        ("resid", ctypes.c_int),
        ("duration", ctypes.c_uint),
        ("info", ctypes.c_uint),
    )


def ask(descriptor: int, command: bytes, *, seconds: float) -> bytes:
    """The device's answer to a command that reads. Unavailable when it gives none."""
    for _ in range(_ATTEMPTS):
        header, answer, sense = _run(descriptor, command, seconds)
        if header.status == 0 and header.host_status == 0:
            return answer
        if header.status != _CHECK_CONDITION or scsi.sense_key(sense) != scsi.UNIT_ATTENTION:
            raise Unavailable(
                f"the device does not answer SCSI command {command[0]:#04x}: status {header.status:#x}, "
                f"host status {header.host_status:#x}, sense key {scsi.sense_key(sense):#x}"
            )
    raise Unavailable(f"the device answers SCSI command {command[0]:#04x} with unit attentions only")


def _run(descriptor: int, command: bytes, seconds: float) -> tuple[_Header, bytes, bytes]:
    answer, sense = ctypes.create_string_buffer(scsi.ANSWER_LENGTH), ctypes.create_string_buffer(64)
    order = ctypes.create_string_buffer(command, len(command))
    header = _Header(
        interface_id=ord("S"),
        dxfer_direction=_FROM_DEVICE,
        cmd_len=len(command),
        mx_sb_len=len(sense),
        dxfer_len=len(answer),
        dxferp=ctypes.addressof(answer),
        cmdp=ctypes.addressof(order),
        sbp=ctypes.addressof(sense),
        timeout=int(seconds * 1000),
    )
    try:
        fcntl.ioctl(descriptor, _SG_IO, header)
    except OSError as error:
        raise Unavailable(f"the device does not take SCSI commands: {error.strerror}") from error
    return header, answer.raw[: len(answer) - max(header.resid, 0)], sense.raw[: header.sb_len_wr]
