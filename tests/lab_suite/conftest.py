"""The whole driver on three hosts, which the files of this folder share while nothing fails on it.

With two workers (``tools/run_tests.py``) each has its own.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab import GIB, Host, HostSpec, Lab
from tests.stack.stack import Stack, make_pool

HOSTS = (HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec("host3"))


class Shared:
    """A stack that goes from file to file. After a test that failed the next file gets another one."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._lab: Lab | None = None
        self._stack: Stack | None = None
        self._failed = 0

    @property
    def sound(self) -> bool:
        """Whether no test has failed since the stack came up."""
        return self._session.testsfailed == self._failed

    def take(self) -> Stack:
        """The one of the file before, if it is sound; else a new one."""
        if self._stack is None or not self.sound:
            self.end()
            self._failed = self._session.testsfailed
            self._lab = Lab(HOSTS)
            self._lab.up()
            self._stack = _stack(self._lab)
        return self._stack

    def end(self) -> None:
        """End its hosts, if there are any; their logs are kept if that is wanted and a test failed."""
        if self._lab is not None:
            if not self.sound:
                self._lab.keep_logs()
            self._lab.down()
        self._lab = self._stack = None


@pytest.fixture(scope="session")
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    """What ``stack`` takes the stack from."""
    made = Shared(request.session)
    try:
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def stack(shared: Shared) -> Iterator[Stack]:
    """host1 and host2 have a disk of 4 GiB, host3 none. Both pools lie on disks that can turn bad (``fault_disk``).

    A file that passes leaves nothing on them, and every process running.
    """
    stack = shared.take()
    yield stack
    if shared.sound:
        assert stack.leftovers() == {}
        assert {name: process.poll() for name, process in stack.processes.items()} == dict.fromkeys(stack.processes)


def _stack(lab: Lab) -> Stack:
    for host in lab.hosts:
        if host.disks:
            _make_faulty_pool(host)
    stack = Stack(lab=lab, lvm_devices='"/dev/mapper/lab-.*"')
    stack.up()
    return stack


def _make_faulty_pool(host: Host) -> None:
    """The host's own LVM is told not to look at the disk twice, as an operator does for disks below multipath."""
    bare = ", ".join(f'"r|^{disk}$|"' for disk in host.disks)
    host.put("/etc/lvm/lvmlocal.conf", f"devices {{ global_filter = [ {bare} ] }}\n")
    make_pool(host, [host.fault_disk(number).path for number in range(len(host.disks))])
