"""The whole driver on three hosts, for the tests of one file."""

from __future__ import annotations

import pytest

from tests.lab import GIB, Host, HostSpec
from tests.lab.fixtures import LabFactory, module_lab_factory
from tests.stack.stack import Stack, make_pool

pytest_fixtures = (module_lab_factory,)  # imported by name: pytest finds it in this module


@pytest.fixture(scope="module")
def stack(module_lab_factory: LabFactory) -> Stack:
    """host1 and host2 have a disk of 4 GiB, host3 none. Both pools lie on disks that can turn bad (``fault_disk``)."""
    lab = module_lab_factory([HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec("host3")])
    for host in lab.hosts[:2]:
        _make_faulty_pool(host)
    stack = Stack(lab=lab, lvm_devices='"/dev/mapper/lab-.*"')
    stack.up()
    return stack


def _make_faulty_pool(host: Host) -> None:
    """The host's own LVM is told not to look at the disk twice, as an operator does for disks below multipath."""
    bare = ", ".join(f'"r|^{disk}$|"' for disk in host.disks)
    host.put("/etc/lvm/lvmlocal.conf", f"devices {{ global_filter = [ {bare} ] }}\n")
    make_pool(host, [host.fault_disk(number).path for number in range(len(host.disks))])
