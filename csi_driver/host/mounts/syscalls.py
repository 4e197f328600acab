"""mount(2) and umount2(2). They block as long as the device does, and raise OSError."""

from __future__ import annotations

import ctypes
import os

_UMOUNT_NOFOLLOW = 8
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)


def mount(source: str, target: str, fs: str, flags: int, data: str) -> None:
    """mount(2)."""
    parts = source.encode(), target.encode(), fs.encode() or None, flags, data.encode() or None
    _checked(_libc.mount(*parts), target)


def unmount(target: str) -> None:
    """umount2(2), of the topmost mount at ``target`` itself, not of what a link there leads to."""
    _checked(_libc.umount2(target.encode(), _UMOUNT_NOFOLLOW), target)


def _checked(result: int, target: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)
