"""A host of a lab: commands, files, sockets, and what can befall it."""

from __future__ import annotations

import contextlib
import hashlib
import io
import signal
import socket as stream
import tarfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import boot
from tests.lab.channel import MARGIN, QUICK, Channel
from tests.lab.control import Control
from tests.lab.errors import BootFailed, CommandFailed, GuestTimeout, HostDown, LabError
from tests.lab.fault_disk import FaultDisk
from tests.lab.guest.agent import PORT
from tests.lab.image import DRIVER, REPOSITORY
from tests.lab.kernel import Kernel
from tests.lab.process import GuestProcess
from tests.lab.spec import HostSpec, Identity, device

BOOT_LIMIT = 180.0
"""Seconds until a host must be up; many may boot at once on few processors."""
OFF_LIMIT = 20.0
"""Seconds that a power off may take."""


@dataclass(frozen=True)
class Completed:
    """A command that ended by itself."""

    rc: int
    output: bytes
    """Its stdout as bytes."""
    stderr: str

    @property
    def stdout(self) -> str:
        return self.output.decode(errors="replace")


class Host:
    """Made by `Lab`; every operation on the guest has a time limit and raises HostDown when it is not there."""

    def __init__(
        self, control: Control, place: boot.Place, spec: HostSpec, identity: Identity, *, kernel: Kernel, image: Path
    ) -> None:
        self.spec, self.identity, self.place = spec, identity, place
        self.name, self.number, self.address = identity.name, identity.number, identity.address
        self.initiator = identity.initiator
        """Its iSCSI initiator name."""
        self.disks = tuple(device(index) for index in range(len(spec.disks)))
        """The raw disks as its guest names them."""
        self._control, self._kernel, self._image = control, kernel, image
        self._agent = place.folder / "agent.sock"
        self._channel = Channel(self.name, self._agent)
        self._fault_disks: dict[str, FaultDisk] = {}

    def __repr__(self) -> str:
        return f"<host {self.name} {self.address}>"

    # Power

    def start(self, *, reimage: bool = False) -> None:
        """Begin to boot, disks and (unless `reimage`) root file system as they were; `await_up` waits."""
        if reimage:
            self.place.root_cow.unlink(missing_ok=True)
        if not self._agent.exists():
            self._forward(self._agent, None)
        number = self._boots() + 1
        argv = boot.command_line(
            self.place, self.spec, self.identity, kernel=self._kernel, image=self._image, boot=number
        )
        (self.place.folder / "boots").write_text(str(number))
        self._control.request("start", host=self.name, argv=argv, console=str(self.place.console))

    def await_up(self, timeout: float = BOOT_LIMIT) -> None:
        """Return once the host's agent listens; raises BootFailed with the console's end after `timeout` s."""
        up, deadline = self.place.up(self._boots()), time.monotonic() + timeout
        while not up.exists():
            if time.monotonic() > deadline or not self.alive:
                raise BootFailed(f"{self.name} did not come up; {self.place.console} ends with\n{self._console_end()}")
            time.sleep(0.02)
        for disk in self._fault_disks.values():
            disk.create()

    def boot(self, *, reimage: bool = False) -> None:
        """Boot and wait until it is up: `start`, then `await_up`."""
        self.start(reimage=reimage)
        self.await_up()

    def crash(self) -> None:
        """Lose power now: its memory is gone, what was written to its disks stays."""
        self._control.request("kill", host=self.name)

    def power_off(self) -> None:
        """Sync, remount read-only, power off; services are not asked. Raises HostDown when it does not go off."""
        with contextlib.suppress(HostDown, GuestTimeout):
            self.run(["sh", "-c", "sync; cd /proc; echo u > sysrq-trigger; echo o > sysrq-trigger"], timeout=10)
        deadline = time.monotonic() + OFF_LIMIT
        while self.alive:
            if time.monotonic() > deadline:
                raise HostDown(f"{self.name} is not off after {OFF_LIMIT:.0f} s")
            time.sleep(0.02)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does; its peers see silence."""
        self._control.request("signal", host=self.name, signal=int(signal.SIGSTOP))

    def thaw(self) -> None:
        """Let a frozen host go on."""
        self._control.request("signal", host=self.name, signal=int(signal.SIGCONT))

    @property
    def alive(self) -> bool:
        """Whether its processes exist (a frozen or hung host is alive)."""
        return bool(self._control.request("alive", host=self.name)["alive"])

    def console(self) -> str:
        """All that its kernel and init printed, over all its boots."""
        return self.place.console.read_text(errors="replace") if self.place.console.exists() else ""

    # Network

    def cut(self, peer: Host) -> None:
        """Drop everything this host sends to the peer, for good; what the peer sends arrives unanswered."""
        self.run(["ip", "route", "replace", "blackhole", f"{peer.address}/32"])

    def mend(self, peer: Host) -> None:
        """Undo `cut`."""
        self.run(["ip", "route", "del", "blackhole", f"{peer.address}/32"])

    # Commands

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes | str = b"",
        timeout: float = 60.0,
        check: bool = True,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """Run to its end, which is the end of the process itself: children it leaves behind are not waited for.

        Killed with its process group after `timeout` seconds (GuestTimeout). With `check`, another code than 0
        raises CommandFailed with what it printed.
        """
        data = stdin.encode() if isinstance(stdin, str) else stdin
        header, (out, err) = self._channel.request(
            "run", data, argv=list(argv), env=dict(env or {}), timeout=timeout, limit=timeout + MARGIN
        )
        stderr = err.decode(errors="replace")
        if header["timed_out"]:
            printed = out.decode(errors="replace") + stderr
            raise GuestTimeout(f"{self.name}: {' '.join(argv)!r} killed after {timeout} s\n{printed}")
        completed = Completed(header["rc"], out, stderr)
        if check and completed.rc != 0:
            raise CommandFailed(self.name, list(argv), completed.rc, completed.stdout, stderr)
        return completed

    def spawn(
        self, argv: Sequence[str], *, name: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
    ) -> GuestProcess:
        """Start in the background, in a session of its own; stdout and stderr go to the log `name`."""
        log = self.place.logs / f"{name}.log"
        begin = log.stat().st_size if log.exists() else 0
        header, _ = self._channel.request(
            "spawn", stdin, argv=list(argv), env=dict(env or {}), log=f"/host/logs/{log.name}"
        )
        return GuestProcess(self._channel, name, header["pid"], log, begin)

    # Files

    def put(self, path: str, content: bytes | str, mode: int = 0o644) -> None:
        """Write a file, its folders with it; a reader sees the old content or the new."""
        data = content.encode() if isinstance(content, str) else content
        self._channel.request("put", data, path=path, mode=mode)

    def get(self, path: str) -> bytes:
        """Read a file; raises GuestError when it can't be read."""
        return self._channel.request("get", path=path)[1][0]

    def put_tree(self, local: Path, guest_folder: str) -> None:
        """Put a folder of the machine in place of a folder of the guest (without `__pycache__`)."""
        self._channel.request("put_tree", _tar(local), path=guest_folder, limit=60)

    def install_driver(self) -> None:
        """Put this working tree's `csi_driver` into the host; `clinker` starts it."""
        self.put_tree(REPOSITORY / "csi_driver", f"{DRIVER}/csi_driver")

    def mount_machine(self, local: Path, guest_folder: str) -> None:
        """Show a folder of the machine in the guest (hostfs): big files need no copy. Until its next boot."""
        self.run(["mkdir", "-p", guest_folder])
        self.run(["mount", "-t", "hostfs", "-o", f"hostfs={local.resolve()}", "none", guest_folder])

    # Sockets

    def socket(self, guest_path: str, *, mode: int = 0o600, owner: int = 0) -> Path:
        """A Unix socket on the machine that leads to a Unix socket of the guest.

        Each connection to it is a new one in the guest, so what listens there may come and go; while
        nothing does, a connection is closed at once.
        """
        return self._reach({"unix": guest_path}, f"unix {guest_path}", mode, owner)

    def tcp(self, port: int, *, mode: int = 0o600, owner: int = 0) -> Path:
        """The same for a TCP port of the guest's loopback address."""
        return self._reach({"tcp": port}, f"tcp {port}", mode, owner)

    def shell_stream(self, argv: Sequence[str], *, rows: int, columns: int, term: str) -> stream.socket:
        """A connected socket to a command on a terminal of its own in the guest."""
        return self._channel.stream("shell", argv=list(argv), rows=rows, columns=columns, term=term)

    def _reach(self, target: dict[str, object], label: str, mode: int, owner: int) -> Path:
        path = self.place.folder / f"{hashlib.sha256(label.encode()).hexdigest()[:8]}.sock"
        if not path.exists():
            self._forward(path, {"op": "connect", **target}, mode, owner)
        return path

    def _forward(self, path: Path, ask: dict[str, object] | None, mode: int = 0o600, owner: int = 0) -> None:
        way = {"host": self.name, "address": self.address, "port": PORT}
        self._control.request("forward", path=str(path), ask=ask, mode=mode, owner=owner, **way)

    # Disks

    def fault_disk(self, index: int) -> FaultDisk:
        """The disk number `index` (counted from 0) behind a device that can turn bad; the same one each time."""
        name = f"lab-disk{index + 1}"
        if name not in self._fault_disks:
            disk = FaultDisk(self._script, name, self.disks[index])
            disk.create()
            self._fault_disks[name] = disk
        return self._fault_disks[name]

    def _script(self, script: str) -> str:
        return self.run(["sh", "-c", script], timeout=QUICK).stdout

    # Within

    def _boots(self) -> int:
        """How often it was booted: the name of the file that says that a boot is over."""
        counter = self.place.folder / "boots"
        return int(counter.read_text()) if counter.exists() else 0

    def _console_end(self) -> str:
        return "\n".join(self.console().splitlines()[-25:])


def _tar(folder: Path) -> bytes:
    """The folder as a tar archive, without what Python compiled."""
    if not folder.is_dir():
        raise LabError(f"{folder} is not a folder")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(folder, arcname=".", filter=_without_compiled)
    return packed.getvalue()


def _without_compiled(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.uid = member.gid = 0
    return None if "__pycache__" in member.name else member
