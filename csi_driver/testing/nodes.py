"""The block layer of a simulated kernel: disks, thin pools, dm devices and who holds them open."""

from __future__ import annotations

import errno
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from csi_driver.host.doors import DmLine
from csi_driver.model.sizes import KIB, SECTOR
from csi_driver.testing.store import Io, Pulse, Store

DM_MAJOR = 253
SD_MAJOR = 8
DISK_MAJOR = 254
CHUNK = 64 * KIB
SHARED_CLAIMS = frozenset({"dm", "fs"})
"""Holders that let their like in: all of device-mapper is one holder (mechanisms.md 5), a mounted superblock too."""

Devno = tuple[int, int]


def trouble(number: int, what: str = "") -> OSError:
    """The error of a system call."""
    return OSError(number, os.strerror(number) + (f": {what}" if what else ""))


class Node(ABC):
    """One block device. ``hung``: requests wait; ``failed``: they end with EIO."""

    def __init__(self, pulse: Pulse, name: str, devno: Devno) -> None:
        self.pulse, self.name, self.devno = pulse, name, devno
        self.opens = 0
        self.claims: Counter[str] = Counter()
        self.in_flight = 0
        self.hung = False
        self.failed = False

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes."""

    @property
    def read_only(self) -> bool:
        return False

    @abstractmethod
    async def perform(self, io: Io) -> bytes:
        """The request itself, which lies inside the device."""

    async def io(self, io: Io) -> bytes:
        """Do a request as the block layer does; OSError when it fails."""
        self.in_flight += 1
        try:
            await self.pulse.until(lambda: not self.hung)
            if self.failed:
                raise trouble(errno.EIO, self.name)
            if io.offset + io.length > self.size:
                raise trouble(errno.ENOSPC if io.op == "write" else errno.EIO, f"beyond the end of {self.name}")
            if io.op != "read" and self.read_only:
                raise trouble(errno.EROFS, self.name)
            return await self.perform(io)
        finally:
            self.in_flight -= 1
            self.pulse.fire()

    def open(self, claim: str = "") -> None:
        """Hold it open; with ``claim`` exclusively (O_EXCL) in that holder's name. EBUSY when another has it."""
        others = {one for one in self.claims if one != claim}
        if claim and (others or (self.claims and claim not in SHARED_CLAIMS)):
            raise trouble(errno.EBUSY, f"{self.name} is held by {', '.join(sorted(self.claims))}")
        self.opens += 1
        if claim:
            self.claims[claim] += 1

    def close(self, claim: str = "") -> None:
        """Let go of what ``open`` with the same claim took."""
        self.opens -= 1
        if claim:
            self.claims[claim] -= 1
            self.claims = +self.claims
        self.pulse.fire()

    def power_off(self) -> None:
        """The machine lost power: whoever still waits gets an error, and nobody holds it."""
        self.failed, self.hung = True, False
        self.opens, self.claims = 0, Counter()


class Disk(Node):
    """A disk of the machine: its bytes outlive the kernel."""

    def __init__(self, pulse: Pulse, name: str, devno: Devno, size: int) -> None:
        super().__init__(pulse, name, devno)
        self.store = Store()
        self._size = size

    @property
    def size(self) -> int:
        return self._size

    async def perform(self, io: Io) -> bytes:
        return self.store.apply(io)


class Thin:
    """What a thin pool holds of one volume: its bytes and which chunks of 64 KiB are mapped, each to a piece of the
    pool's data that snapshots may share.
    """

    def __init__(self) -> None:
        self.store = Store()
        self.chunks: dict[int, object] = {}
        self.shared: set[int] = set()
        """Chunks that a snapshot may still have too: a write takes a new piece."""

    def copy(self) -> Thin:
        """A snapshot of it."""
        twin = Thin()
        twin.store.blocks = dict(self.store.blocks)
        twin.chunks = dict(self.chunks)
        twin.shared, self.shared = set(self.chunks), set(self.chunks)
        return twin

    def needs(self, io: Io) -> set[int]:
        """The chunks that a write would give a new piece."""
        if io.op != "write" or not io.length:
            return set()
        touched = set(range(io.offset // CHUNK, (io.offset + io.length - 1) // CHUNK + 1))
        return {number for number in touched if number not in self.chunks or number in self.shared}

    def apply(self, io: Io) -> bytes:
        """Do it, and map or unmap chunks."""
        for number in self.needs(io):
            self.chunks[number] = object()
            self.shared.discard(number)
        if io.op == "zero":
            first, last = -(-io.offset // CHUNK), (io.offset + io.length) // CHUNK
            for number in [each for each in self.chunks if first <= each < last]:
                del self.chunks[number]
                self.shared.discard(number)
        return self.store.apply(io)


class ThinSpace:
    """A thin pool's content, on disk: all its volumes by thin id. ``size`` in bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.queues = False
        """Writes that find no room wait for it."""
        self.thins: dict[int, Thin] = {}

    @property
    def used(self) -> int:
        """Bytes of data that are mapped; what snapshots share counts once."""
        return CHUNK * len({piece for thin in self.thins.values() for piece in thin.chunks.values()})


class PoolNode(Node):
    """The ``-tpool`` device of an active pool."""

    def __init__(
        self, pulse: Pulse, devno: Devno, space: ThinSpace, disk: Disk, metadata: Callable[[], tuple[int, int]]
    ) -> None:
        """``metadata`` tells how many bytes of how many are used."""
        super().__init__(pulse, f"dm-{devno[1]}", devno)
        self.dm_name = ""
        self.space, self.disk, self.metadata = space, disk, metadata

    @property
    def size(self) -> int:
        return self.space.size

    async def perform(self, io: Io) -> bytes:
        raise trouble(errno.EIO, "nobody reads a pool's own device")

    async def thin_io(self, number: int, io: Io) -> bytes:
        """A request of thin volume ``number``. A pool that is full lets it wait, or answers ENOSPC (errorwhenfull)."""
        await self.pulse.until(lambda: not (self.hung or self.disk.hung))
        if self.failed or self.disk.failed or number not in self.space.thins:
            raise trouble(errno.EIO, self.name)
        thin = self.space.thins[number]
        await self.pulse.until(lambda: self._fits(thin, io) or not self.space.queues)
        if not self._fits(thin, io):
            raise trouble(errno.ENOSPC, self.name)
        return thin.apply(io)

    def _fits(self, thin: Thin, io: Io) -> bool:
        return self.space.used + CHUNK * len(thin.needs(io)) <= self.space.size

    def status(self) -> DmLine:
        """As the kernel's thin-pool target tells it."""
        used, size = self.metadata()
        data = f"{self.space.used // CHUNK}/{self.space.size // CHUNK}"
        full = "queue_if_no_space" if self.space.queues else "error_if_no_space"
        words = f"1 {used // 4096}/{size // 4096} {data} - rw discard_passdown {full} - 1024"
        return DmLine(0, self.space.size // SECTOR, "thin-pool", words)


@dataclass(frozen=True, slots=True)
class Table:
    """A loaded dm table: its lines and the device below each, which loading opened; None where there is none."""

    lines: tuple[DmLine, ...]
    below: tuple[Node | None, ...]
    readonly: bool = False

    @property
    def size(self) -> int:
        """Bytes it maps."""
        return sum(line.length for line in self.lines) * SECTOR

    def release(self) -> None:
        """Let go of what is below."""
        for node in self.below:
            if node is not None:
                node.close("dm")

    def too_long(self) -> bool:
        """Whether a line reaches over the end of the device below it (kernel: device_area_is_invalid)."""
        return any(
            node is not None and line.target != "thin" and (start_of(line) + line.length) * SECTOR > node.size
            for line, node in zip(self.lines, self.below, strict=True)
        )


def start_of(line: DmLine) -> int:
    """The sector of the device below where ``line`` begins; targets without one begin nowhere."""
    words = line.args.split()
    return int(words[1]) if line.target in ("linear", "delay") else 0


class Mapped(Node):
    """A dm device, ours or LVM's."""

    def __init__(self, pulse: Pulse, name: str, uuid: str, minor: int) -> None:
        super().__init__(pulse, f"dm-{minor}", (DM_MAJOR, minor))
        self.dm_name, self.uuid = name, uuid
        self.live: Table | None = None
        self.inactive: Table | None = None
        self.holding = False
        """New requests wait: from the start of a suspend to the resume."""
        self.suspended = False

    @property
    def size(self) -> int:
        return self.live.size if self.live else 0

    @property
    def read_only(self) -> bool:
        return self.live is not None and self.live.readonly

    async def io(self, io: Io) -> bytes:
        await self.pulse.until(lambda: not self.holding)
        return await super().io(io)

    async def perform(self, io: Io) -> bytes:
        answer, done = b"", 0
        while done < io.length:
            index, line = self._line_at(io.offset + done)
            inside = io.offset + done - line.start * SECTOR
            length = min(io.length - done, line.length * SECTOR - inside)
            answer += await self._below(index, line, io.part(done, length, inside))
            done += length
        return answer

    def _line_at(self, offset: int) -> tuple[int, DmLine]:
        assert self.live is not None  # noqa: S101  # a device without a table has size 0: io() refused before
        for index, line in enumerate(self.live.lines):
            if line.start * SECTOR <= offset < (line.start + line.length) * SECTOR:
                return index, line
        raise trouble(errno.EIO, f"{self.dm_name} maps nothing at {offset}")

    async def _below(self, index: int, line: DmLine, io: Io) -> bytes:
        node = self.live.below[index] if self.live else None
        if line.target == "zero":
            return bytes(io.length) if io.op == "read" else b""
        if node is None:
            raise trouble(errno.EIO, f"{self.dm_name}: {line.target} target")
        if isinstance(node, PoolNode):
            return await node.thin_io(int(line.args.split()[1]), io)
        moved = io.part(0, io.length, io.offset + start_of(line) * SECTOR)
        return await node.io(moved)

    def power_off(self) -> None:
        super().power_off()
        self.holding = False


class Kernel:
    """All block devices of one boot. Numbers are given out anew when free, the lowest first, as Linux does."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.nodes: dict[Devno, Node] = {}

    def add(self, node: Node) -> None:
        """A device appears."""
        self.nodes[node.devno] = node
        self.pulse.fire()

    def drop(self, node: Node) -> None:
        """A device is gone."""
        self.nodes.pop(node.devno, None)
        self.pulse.fire()

    def free_minor(self, major: int, step: int = 1) -> int:
        """The lowest number nobody has."""
        minor = 0
        while (major, minor) in self.nodes:
            minor += step
        return minor

    def mapped(self) -> list[Mapped]:
        """All dm devices, by number."""
        return [node for _, node in sorted(self.nodes.items()) if isinstance(node, Mapped)]

    def named(self, dm_name: str) -> Mapped | None:
        """The dm device of that name."""
        return next((node for node in self.mapped() if node.dm_name == dm_name), None)

    def at(self, path: str) -> Node | None:
        """The device that ``/dev/NAME`` or ``/dev/mapper/NAME`` opens now."""
        if path.startswith("/dev/mapper/"):
            return self.named(path.removeprefix("/dev/mapper/"))
        return next((node for node in self.nodes.values() if path == f"/dev/{node.name}"), None)

    def open_table(self, lines: tuple[DmLine, ...]) -> Table:
        """Open what the lines name. ENXIO when it does not exist, EBUSY when another holder has it."""
        opened: list[Node | None] = []
        try:
            for line in lines:
                node = self._find_below(line)
                if node is not None:
                    node.open("dm")
                opened.append(node)
        except OSError:
            Table(lines[: len(opened)], tuple(opened)).release()
            raise
        return Table(lines, tuple(opened))

    def _find_below(self, line: DmLine) -> Node | None:
        if line.target in ("error", "zero"):
            return None
        if line.target not in ("linear", "delay", "thin"):
            raise trouble(errno.EINVAL, f"unknown target type {line.target}")
        major, _, minor = line.args.split()[0].partition(":")
        node = self.nodes.get((int(major), int(minor)))
        if node is None:
            raise trouble(errno.ENXIO, line.args)
        return node
