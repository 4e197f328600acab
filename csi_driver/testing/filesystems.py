"""Simulated mkfs, and what is asked of file systems that exist."""

from __future__ import annotations

import uuid

from csi_driver.errors import CommandFailed, Incompatible, NotFound, Precondition, Unavailable
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.access import FsType
from csi_driver.model.sizes import MIB
from csi_driver.testing.image import Image, probe, store
from csi_driver.testing.machine import Machine
from csi_driver.testing.nodes import Node
from csi_driver.testing.store import reading

ENDS = MIB
"""Bytes at both ends of a device that have to be zero."""
SMALLEST = {FsType.EXT4: MIB, FsType.XFS: 300 * MIB}


class SimFormatter:
    """The door ``Formatter``. ``Machine.formats`` tells what was made."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    @effect("formatter.make")
    async def make(self, path: str, *, fs: FsType, options: tuple[str, ...], blank: bool = False) -> None:
        """See ``Formatter.make``."""
        program = f"mkfs.{fs.value}"
        node = _device(self._machine, path, program)
        try:
            node.open(program)
        except OSError as error:
            raise CommandFailed(program, 1, f"{path} is apparently in use by the system: {error}") from error
        try:
            await self._make(node, path, fs)
        except OSError as error:
            raise CommandFailed(program, 1, f"{path}: {error}") from error
        finally:
            node.close(program)
        self._machine.formats.append((path, fs.value, options))

    async def _make(self, node: Node, path: str, fs: FsType) -> None:
        for offset in (0, max(node.size - ENDS, 0)):
            if (await node.io(reading(offset, min(ENDS, node.size)))).strip(b"\0"):
                raise Incompatible(f"{path} is not blank near byte {offset}: it will not be formatted")
        if node.size < SMALLEST[fs]:
            raise CommandFailed(f"mkfs.{fs.value}", 1, f"{path} is too small for {fs.value}")
        await store(node, Image(fs.value, node.size, str(uuid.uuid4())))


class SimFilesystems:
    """The door ``Filesystems``."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    @effect("fs.grow")
    async def grow(self, path: str, *, mountpoint: str, fs: FsType) -> None:
        """See ``Filesystems.grow``."""
        program = "resize2fs" if fs is FsType.EXT4 else "xfs_growfs"
        node = _device(self._machine, path, program)
        mounted = self._machine.mounted.get(node.devno)
        on = {mount.target for mount in self._machine.mounts if mount.devno == node.devno}
        if mounted is None or mountpoint not in on or mounted.fs != fs.value:
            raise CommandFailed(program, 1, f"{path} is not a mounted {fs.value} file system at {mountpoint}")
        try:
            await mounted.grow()
        except OSError as error:
            raise CommandFailed(program, 1, f"{path}: {error}") from error

    async def size(self, path: str, *, fs: FsType) -> int:
        """See ``Filesystems.size``."""
        node = self._machine.kernel.at(path)
        if node is None:
            raise NotFound(f"{path} is gone")
        if node.hung:
            raise Unavailable(f"{path} does not answer")
        try:
            image = await probe(node)
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error
        if image is None or image.fs != fs.value:
            raise Precondition(f"there is no {fs.value} file system on {path}")
        return image.size


def _device(machine: Machine, path: str, program: str) -> Node:
    node = machine.kernel.at(path)
    if node is None:
        raise CommandFailed(program, 1, f"{path}: No such file or directory")
    return node
