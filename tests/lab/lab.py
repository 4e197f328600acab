"""A lab: several hosts on a network of their own."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import control, image, leftovers, network, tools
from tests.lab.boot import Place, prepare
from tests.lab.control import Control
from tests.lab.errors import LabError
from tests.lab.host import Host
from tests.lab.kernel import kernel
from tests.lab.leftovers import PREFIX, SHM, Claim
from tests.lab.record import Record, read, write
from tests.lab.spec import HostSpec, identities

STOP_LIMIT = 20.0
"""Seconds that the supervisor may take to end everything."""


class Lab:
    """Boots its hosts on entry and leaves nothing behind, however its process ends.

    `log_dir` keeps the logs; without it they go when the lab ends, unless the `with` block fails and
    CLINKER_LAB_KEEP_LOGS=1 is set. A `detached` lab outlives this process until `down`.
    """

    def __init__(
        self,
        specs: Sequence[HostSpec],
        *,
        log_dir: Path | None = None,
        name: str | None = None,
        detached: bool = False,
    ) -> None:
        self.specs = tuple(specs)
        self.id = secrets.token_hex(4)
        self.name = name or self.id
        if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", self.name):  # it is part of Unix socket paths
            raise LabError(f"lab name {self.name!r}: at most 40 lower-case letters, digits and '-'")
        self.folder = SHM / f"{PREFIX}{self.name}"
        self._log_dir, self._detached, self._attached = log_dir, detached, False
        self._process: subprocess.Popen[bytes] | None = None
        self.hosts: tuple[Host, ...] = ()

    # Life

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._attached:
            return
        if kind is not None:
            self.keep_logs()
        self.down()

    def up(self) -> None:
        """Build what is not cached, start the hosts and wait until they are up; leaves nothing when it fails."""
        tools.install_prerequisites()
        leftovers.sweep()
        booted = kernel()
        record = Record(self.id, self.specs, booted, tuple(image.image(spec.image, booted) for spec in self.specs))
        self._make_folder()
        try:
            self._start(record)
            for host in self.hosts:
                host.start()
            for host in self.hosts:
                host.await_up()
        except BaseException:
            self.keep_logs()
            self.down()
            raise

    def _start(self, record: Record) -> None:
        """Start the supervisor, put the hosts on disk and say so in the lab's folder."""
        taps = [who.tap for who in identities(self.id, self.specs)]
        self._process = control.start(self.folder, taps, self._log_dir, detached=self._detached)
        leftovers.write_claim(self.folder, self._claim(self._process.pid))
        self.hosts = _hosts(self.folder, record)
        for host in self.hosts:
            prepare(host.place, host.spec, host.identity, [peer.identity for peer in self.hosts])
        write(self.folder, record)

    def down(self) -> None:
        """End every host and remove everything; does nothing for a lab that is down."""
        if self._process is None and not self._attached:
            return
        claim = leftovers.read_claim(self.folder)
        with contextlib.suppress(LabError):  # one that does not answer is ended the hard way
            Control(self.folder).request("stop")
            self._await_end(claim)
        leftovers.remove(self.folder)
        if self._process is not None:
            self._process.wait(STOP_LIMIT)
        self._process, self._attached, self.hosts = None, False, ()

    def _await_end(self, claim: Claim | None) -> None:
        """Until the supervisor has gone, for at most STOP_LIMIT seconds."""
        deadline = time.monotonic() + STOP_LIMIT
        while claim and claim.supervisor and claim.supervisor.alive and time.monotonic() < deadline:
            time.sleep(0.01)

    def keep_logs(self) -> Path | None:
        """Copy the logs out if CLINKER_LAB_KEEP_LOGS=1, and say where to; for fixtures whose tests failed."""
        if os.environ.get("CLINKER_LAB_KEEP_LOGS") != "1" or not (self.folder / "logs").exists():
            return None
        kept = Path(tempfile.mkdtemp(prefix=f"{PREFIX}logs-{self.name}-"))
        shutil.copytree(self.folder / "logs", kept, dirs_exist_ok=True)
        print(f"lab: logs kept in {kept}", flush=True)
        return kept

    @staticmethod
    def sweep() -> list[str]:
        """Remove what labs left whose owners are dead (each `up` does it too); gives their names."""
        return leftovers.sweep()

    @classmethod
    def attach(cls, name: str) -> Self:
        """A lab that is up, of any process; only `down` ends it, leaving a `with` block does not."""
        folder = SHM / f"{PREFIX}{name}"
        record = read(folder)
        lab = cls(record.specs, name=name)
        lab.id, lab._attached, lab.hosts = record.id, True, _hosts(folder, record)
        return lab

    # Use

    def host(self, name: str) -> Host:
        """The host of this name; raises LabError naming those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise LabError(f"no host {name!r}, there are: {', '.join(host.name for host in self.hosts) or 'none'}")

    def network_command(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs a program of the machine inside the lab's network (its address: GATEWAY)."""
        claim = leftovers.read_claim(self.folder)
        if claim is None or claim.supervisor is None:
            raise LabError(f"the lab {self.name} is not up")
        return network.inside(claim.supervisor.pid, argv)

    # Within

    def _claim(self, supervisor: int | None = None) -> Claim:
        owner = None if self._detached else leftovers.process(os.getpid())
        return Claim(owner, leftovers.process(supervisor) if supervisor else None)

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o755)
        except FileExistsError as error:
            raise LabError(f"a lab {self.name!r} is up already; make lab-down LAB={self.name} ends it") from error
        leftovers.write_claim(self.folder, self._claim(os.getpid()))
        (self.folder / "logs").mkdir()


def _hosts(folder: Path, record: Record) -> tuple[Host, ...]:
    everyone = identities(record.id, record.specs)
    made = []
    for spec, identity, lies in zip(record.specs, everyone, record.images, strict=True):
        place = Place(folder / spec.name, folder / "logs" / spec.name)
        made.append(Host(Control(folder), place, spec, identity, kernel=record.kernel, image=lies))
    return tuple(made)
