"""The door ``Dm`` by ioctl on /dev/mapper/control."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
from pathlib import Path

from csi_driver.errors import Busy, Incompatible, InternalError, NotFound, OutOfRange
from csi_driver.host.dm import tables, wire
from csi_driver.host.dm.wire import Command, Flag, Header
from csi_driver.host.doors import DmDevice, DmLine, numbers
from csi_driver.kit import blocking
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.ids import DM_UUID_PREFIX

CONTROL = Path("/dev/mapper/control")
BLOCK = Path("/sys/dev/block")
LONGEST_NAME = 127
LONGEST_UUID = 128


class KernelDm:
    """See ``doors.Dm``. Every ioctl runs in a thread of its own: a suspend waits as long as the disk below hangs.

    Udev is told to leave our devices alone; devices of others (an LV) keep the flags that their owner gave them.
    """

    def __init__(self, effects: Effects, control: Path = CONTROL, block: Path = BLOCK) -> None:
        self.effects = effects
        self._control, self._block = control, block

    async def devices(self) -> tuple[DmDevice, ...]:
        """See ``Dm.devices``."""
        return await blocking.call(self._devices, "dm list")

    async def find(self, name: str) -> DmDevice | None:
        """See ``Dm.find``."""
        return await blocking.call(lambda: self._find(name), "dm status")

    async def table(self, name: str) -> tuple[DmLine, ...]:
        """See ``Dm.table``. Empty when the device has none."""

        def read() -> tuple[DmLine, ...]:
            header = Header(name=name, flags=Flag.STATUS_TABLE)
            buffer = self._ask(Command.TABLE_STATUS, header)
            return wire.unpack_lines(buffer, wire.unpack(buffer))

        return await blocking.call(read, "dm table")

    async def status(self, name: str) -> tuple[DmLine, ...]:
        """See ``Dm.status``. Without NOFLUSH a thin pool would commit its metadata each time."""

        def read() -> tuple[DmLine, ...]:
            buffer = self._ask(Command.TABLE_STATUS, Header(name=name, flags=Flag.NOFLUSH))
            return wire.unpack_lines(buffer, wire.unpack(buffer))

        return await blocking.call(read, "dm status")

    @effect("dm.create")
    async def create(self, name: str, *, uuid: str) -> None:
        """See ``Dm.create``."""
        if not 0 < len(name) <= LONGEST_NAME or "/" in name or len(uuid) > LONGEST_UUID:
            raise InternalError(f"{name!r} with uuid {uuid!r}: device-mapper takes no such name")
        await self._act(Command.DEV_CREATE, Header(name=name, uuid=uuid))

    @effect("dm.load")
    async def load(self, name: str, lines: tuple[DmLine, ...], *, readonly: bool = False) -> None:
        """See ``Dm.load``. The kernel itself would take a table that is too long, and fail at the resume."""

        def load() -> None:
            for line in lines:
                self._check_length(name, line)
            flags = Flag.READONLY if readonly else Flag(0)
            header = Header(name=name, target_count=len(lines), flags=flags)
            self._ask(Command.TABLE_LOAD, header, wire.pack_lines(lines))

        await blocking.call(load, "dm load")

    @effect("dm.suspend")
    async def suspend(self, name: str, *, freeze: bool = False) -> None:
        """See ``Dm.suspend``. Cancelling the caller does not undo it: the thread goes on."""
        await self._act(Command.DEV_SUSPEND, Header(name=name, flags=Flag.SUSPEND if freeze else _HOLD))

    @effect("dm.resume")
    async def resume(self, name: str) -> None:
        """See ``Dm.resume``. A device that is not suspended is, without flush or freeze, while its table changes."""

        def resume() -> None:
            device = self._find(name)
            ours = device is not None and device.uuid.startswith(DM_UUID_PREFIX)
            cookie = wire.QUIET_COOKIE if ours else wire.NO_COOKIE
            self._ask(Command.DEV_SUSPEND, Header(name=name, flags=_LET_GO, event=cookie))

        await blocking.call(resume, "dm resume")

    @effect("dm.rename")
    async def rename(self, name: str, new: str) -> None:
        """See ``Dm.rename``. Incompatible when the new name is taken."""
        if not 0 < len(new) <= LONGEST_NAME or "/" in new:
            raise InternalError(f"{new!r}: device-mapper takes no such name")
        header = Header(name=name, event=wire.QUIET_COOKIE)
        await self._act(Command.DEV_RENAME, header, new.encode() + b"\0")

    @effect("dm.remove")
    async def remove(self, name: str) -> None:
        """See ``Dm.remove``."""
        await self._act(Command.DEV_REMOVE, Header(name=name, event=wire.QUIET_COOKIE))

    async def _act(self, command: Command, header: Header, payload: bytes = b"") -> None:
        await blocking.call(lambda: self._ask(command, header, payload), f"dm {command.name.lower()}")

    # -- in a thread

    def _devices(self) -> tuple[DmDevice, ...]:
        buffer = self._ask(Command.LIST_DEVICES, Header())
        numbers_of_all = wire.unpack_devices(buffer, wire.unpack(buffer))
        # By number: one that is renamed at this moment must not be missed.
        found = (self._status(Header(devno=devno)) for devno in numbers_of_all)
        return tuple(device for device in found if device is not None and device.uuid.startswith(DM_UUID_PREFIX))

    def _find(self, name: str) -> DmDevice | None:
        return self._status(Header(name=name))

    def _status(self, which: Header) -> DmDevice | None:
        try:
            status = wire.unpack(self._ask(Command.DEV_STATUS, which))
        except NotFound:
            return None
        return DmDevice(
            name=status.name,
            uuid=status.uuid,
            devno=status.devno or (0, 0),
            open_count=status.open_count,
            suspended=Flag.SUSPEND in status.flags,
            readonly=Flag.READONLY in status.flags,
            has_table=Flag.ACTIVE_PRESENT in status.flags,
        )

    def _check_length(self, name: str, line: DmLine) -> None:
        mapped = tables.below(line)
        if mapped is None:
            return
        devno, offset = mapped
        try:
            sectors = int((self._block / numbers(devno) / "size").read_text())
        except FileNotFoundError as error:
            raise InternalError(f"dm load {name}: there is no device {numbers(devno)}") from error
        if offset + line.length > sectors:
            raise OutOfRange(
                f"dm load {name}: {offset + line.length} sectors of {numbers(devno)} asked for, it has {sectors}"
            )

    def _ask(self, command: Command, header: Header, payload: bytes = b"") -> bytearray:
        room = wire.ROOM
        while True:
            buffer = wire.pack(header, payload, room)
            try:
                self._ioctl(command, buffer)
            except OSError as error:
                raise _meaning(command, header.name, error) from error
            if Flag.BUFFER_FULL not in wire.unpack(buffer).flags:
                return buffer
            room *= 4

    def _ioctl(self, command: Command, buffer: bytearray) -> None:
        # A signal that this thread took would undo a waiting suspend (mechanisms.md 1).
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        control = os.open(self._control, os.O_RDWR | os.O_CLOEXEC)
        try:
            space = (ctypes.c_char * len(buffer)).from_buffer(buffer)
            if _LIBC.ioctl(control, ctypes.c_ulong(command.request), space) < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
        finally:
            os.close(control)


_LIBC = ctypes.CDLL(None, use_errno=True)
"""fcntl.ioctl would keep the interpreter's lock over a buffer of more than 1024 bytes that is to be changed: a suspend
that waits for a disk would stop every thread of this process."""

_HOLD = Flag.SUSPEND | Flag.SKIP_LOCKFS | Flag.NOFLUSH
_LET_GO = Flag.SKIP_LOCKFS | Flag.NOFLUSH


def _meaning(command: Command, name: str, error: OSError) -> Exception:
    text = f"dm {command.name.lower()} {name}: {error.strerror}"
    if error.errno == errno.EBUSY:
        if command in (Command.DEV_CREATE, Command.DEV_RENAME):
            return Incompatible(f"{text}: the name or the uuid is taken")
        return Busy(text)
    if error.errno == errno.ENXIO and command is not Command.TABLE_LOAD:
        return NotFound(f"{text}: there is no such device")
    return InternalError(text)
