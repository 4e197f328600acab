"""Simulated mount table and the directories that things are mounted on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from csi_driver.errors import Busy, NotFound, Precondition, Unavailable
from csi_driver.host.doors import Mount, Usage
from csi_driver.host.mounts.kernel import explain
from csi_driver.host.mounts.options import NOATIME, NODEV, NODIRATIME, NOEXEC, NOSUID, RDONLY, split, unjoin
from csi_driver.kit.effects import Effects, effect
from csi_driver.model.access import FsType
from csi_driver.testing.image import Image, Mounted, probe, store
from csi_driver.testing.machine import ROOT_DISK, Machine
from csi_driver.testing.nodes import DM_MAJOR, Node, trouble

DEVTMPFS = (0, 6)
RECOVERY_OFF = {"ext4": "noload", "xfs": "norecovery"}
SHOWN = {"nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC, "noatime": NOATIME, "nodiratime": NODIRATIME}
"""Flags of a mount as mountinfo spells them."""


class SimMounts:
    """The door ``Mounts`` over a simulated kernel and root file system."""

    def __init__(self, machine: Machine, effects: Effects | None = None) -> None:
        self._machine = machine
        self.effects = effects or Effects()

    async def table(self) -> tuple[Mount, ...]:
        """See ``Mounts.table``. A file system that met an error shows it as the kernel does."""
        return tuple(self._machine.shown(mount) for mount in self._machine.mounts)

    @effect("mounts.mount")
    async def mount(self, path: str, target: str, *, fs: FsType, options: tuple[str, ...]) -> None:
        """See ``Mounts.mount``; errors as ``KernelMounts`` tells them."""
        flags, data = split(options)
        readonly = bool(flags & RDONLY)
        mode = "ro" if readonly else "rw"
        words = unjoin(data)
        with _explained(f"mount {path} on {target} as {fs.value} ({','.join(options) or 'no options'})"):
            node = self._machine.kernel.at(path)
            if node is None or self._machine.disks.paths.get(target) != "folder":
                raise trouble(errno.ENOENT, path if node is None else target)
            await self._attach(node, target, fs, words, readonly=readonly)
        row = Mount(
            devno=node.devno,
            root="/",
            target=target,
            fs=fs.value,
            options=frozenset({mode, *(name for name, flag in SHOWN.items() if flags & flag)}),
            super_options=frozenset({mode, *words}),
        )
        self._machine.mounts.append(row)

    async def _attach(self, node: Node, target: str, fs: FsType, words: tuple[str, ...], *, readonly: bool) -> None:
        """Read the superblock and hold the device; a mount for writing leaves its mark."""
        mounted = self._machine.mounted.get(node.devno)
        if mounted is not None:
            over = self._machine.mount_over(target)
            if mounted.readonly != readonly or (over and (over.devno, over.target) == (node.devno, target)):
                raise trouble(errno.EBUSY, f"{node.name} is mounted already")
            return
        node.open("fs")
        try:
            image = await self._checked(node, fs, words, readonly=readonly)
            if not readonly:
                image.writer = f"{self._machine.boot_id}/{node.name}/{self._machine.network.now():.3f}"
                image.clean = False
                await store(node, image)
        except BaseException:
            node.close("fs")
            raise
        violations = self._machine.network.violations
        self._machine.mounted[node.devno] = Mounted(node, image, violations, readonly=readonly)

    async def _checked(self, node: Node, fs: FsType, words: tuple[str, ...], *, readonly: bool) -> Image:
        """The superblock, if the kernel would mount it."""
        image = await probe(node)
        if image is None or image.fs != fs.value:
            raise trouble(errno.EINVAL, f"wrong fs type or bad superblock on {node.name}")
        if node.read_only and not readonly:
            raise trouble(errno.EROFS, f"{node.name} is write-protected")
        if node.read_only and not image.clean and RECOVERY_OFF[image.fs] not in words:
            raise trouble(errno.EROFS, f"{node.name}: the journal has to be replayed, and it is write-protected")
        twin = any(other.uuid == image.uuid for other in self._machine.mounted.values())
        if image.fs == "xfs" and twin and "nouuid" not in words:
            raise trouble(errno.EINVAL, f"{node.name}: a file system with its uuid is mounted")
        return image

    @effect("mounts.bind")
    async def bind(self, source: str, target: str, *, readonly: bool) -> None:
        """See ``Mounts.bind``. A device node is bound on a file, a directory on a directory; bound already: at most
        made read-only.
        """
        with _explained(f"bind {source} to {target}"):
            row = self._bound(source, target, readonly=readonly)
        mounts = self._machine.mounts
        standing = self._machine.mount_over(target)
        if standing and standing.target == target and (standing.devno, standing.root) == (row.devno, row.root):
            mounts[mounts.index(standing)] = row if readonly else standing
        else:
            mounts.append(row)

    def _bound(self, source: str, target: str, *, readonly: bool) -> Mount:
        mode = frozenset({"ro" if readonly else "rw", "relatime"})
        node = self._machine.node_at(source)
        kind = self._machine.disks.paths.get(target)
        if kind is None:
            raise trouble(errno.ENOENT, target)
        if kind != ("folder" if node is None else "file"):
            raise trouble(errno.ENOTDIR, target)
        if node is None:
            return replace(self._row_of(source), target=target, options=mode)
        nodes = frozenset({"rw"})
        return Mount(
            devno=DEVTMPFS, root=f"/{node.name}", target=target, fs="devtmpfs", options=mode, super_options=nodes
        )

    def _row_of(self, source: str) -> Mount:
        """The mount that a directory is on, with the directory as its root."""
        over = self._machine.mount_over(source)
        if over is not None:
            inside = source[len(over.target) :]
            return replace(over, root=(over.root.rstrip("/") + inside) or "/")
        if self._machine.disks.paths.get(source) != "folder":
            raise trouble(errno.ENOENT, source)
        none: frozenset[str] = frozenset({"rw"})
        return Mount(devno=ROOT_DISK, root=source, target="/", fs="ext4", options=none, super_options=none)

    @effect("mounts.unmount")
    async def unmount(self, target: str) -> None:
        """See ``Mounts.unmount``."""
        mounts = self._machine.mounts
        index = next((n for n in reversed(range(len(mounts))) if mounts[n].target == target), None)
        if index is None:
            return
        below = any(mount.target.startswith(target + "/") for mount in mounts)
        if target in self._machine.used_mounts or below:
            raise Busy(f"{target} is in use")
        row = mounts.pop(index)
        if not any(mount.devno == row.devno for mount in mounts):
            await self._detach(row)

    async def _detach(self, row: Mount) -> None:
        mounted = self._machine.mounted.pop(row.devno, None)
        if mounted is not None:
            await mounted.finish()
            mounted.node.close("fs")

    @effect("mounts.make_folder")
    async def make_folder(self, path: str) -> None:
        """See ``Mounts.make_folder``."""
        self._make(path, "folder")

    @effect("mounts.make_file")
    async def make_file(self, path: str) -> None:
        """See ``Mounts.make_file``."""
        self._make(path, "file")

    def _make(self, path: str, kind: str) -> None:
        paths = self._machine.disks.paths
        parent = path.rpartition("/")[0] or "/"
        if paths.setdefault(path, kind) != kind:
            raise Precondition(f"{path} is a {paths[path]}, a {kind} is wanted")
        while parent not in paths:
            paths[parent] = "folder"
            parent = parent.rpartition("/")[0] or "/"

    @effect("mounts.remove")
    async def remove(self, path: str) -> None:
        """See ``Mounts.remove``."""
        paths = self._machine.disks.paths
        if any(mount.target == path for mount in self._machine.mounts):
            raise Busy(f"{path} is a mount point")
        if any(other.startswith(path + "/") for other in paths):
            raise Precondition(f"{path} is not empty")
        paths.pop(path, None)

    async def device_at(self, path: str) -> tuple[int, int] | None:
        """See ``Mounts.device_at``."""
        node = self._machine.node_at(path)
        if node is not None:
            return node.devno
        over = self._machine.mount_over(path)
        if over is not None and over.fs == "devtmpfs" and over.target == path and over.root.startswith("/dm-"):
            # The bound node outlives its name in /dev, and keeps its number when the device is gone.
            return DM_MAJOR, int(over.root.removeprefix("/dm-"))
        return None

    async def exists(self, path: str) -> bool:
        """See ``Mounts.exists``."""
        return path in self._machine.disks.paths or self._machine.node_at(path) is not None

    async def usage(self, path: str) -> Usage:
        """See ``Mounts.usage``."""
        row = self._machine.mount_over(path)
        mounted = self._machine.mounted.get(row.devno) if row else None
        if mounted is None:
            raise NotFound(f"no file system of ours is mounted at {path}")
        if mounted.node.hung:
            raise Unavailable(f"the file system at {path} does not answer")
        with _explained(f"ask {path} for its usage"):
            total, used, files = await mounted.size()
        inodes = total // 16384
        return Usage(
            total=total,
            used=used,
            available=total - used,
            inodes=inodes,
            inodes_used=files,
            inodes_free=inodes - files,
        )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise explain(error, what) from error
