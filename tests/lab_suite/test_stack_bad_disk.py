"""A disk whose reads and writes fail: nothing is taken for made, and nothing that holds data is ever formatted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest

from csi_driver.model.sizes import GIB, MIB
from tests.lab import FaultDisk, HostSpec, Lab
from tests.stack.csi import mount
from tests.stack.stack import THIN_POOL, VG, Stack

STAGING = "/var/lib/kubelet/test/staging"
TARGET = "/var/lib/kubelet/test/target"


@pytest.fixture(scope="module")
def faulty() -> Iterator[tuple[Stack, FaultDisk]]:
    """One host whose volume group lies on a disk that can be made to fail."""
    with Lab([HostSpec("host1", (4 * GIB,))]) as lab:
        host = lab.host("host1")
        disk = host.fault_disk(0)
        # The host's own LVM sees the disk twice, bare and behind the device that can fail.
        only = ["--config", 'devices { filter = [ "a|^/dev/mapper/lab-|", "r|.*|" ] }']
        host.run(["vgcreate", *only, VG, disk.path])
        host.run(["lvcreate", *only, "--type", "thin-pool", "-L", "2G", "-n", THIN_POOL, "-c", "64k", VG])
        host.run(["mkdir", "-p", STAGING])
        stack = Stack(lab=lab, lvm_devices='"/dev/mapper/lab-.*"')
        stack.up()
        yield stack, disk


def test_a_volume_whose_reads_fail_is_never_formatted(faulty: tuple[Stack, FaultDisk]) -> None:
    stack, disk = faulty
    host, controller, node = stack.lab.host("host1"), stack.controller, stack.node("host1")
    volume = controller.create("kept", 64 * MIB, mount()).volume_id
    context = controller.attach(volume, "host1", mount())
    node.stage(volume, context, STAGING, mount())
    host.run(["sh", "-c", f"echo precious > {STAGING}/file; sync"])
    node.unstage(volume, STAGING)
    host.run(["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"])
    disk.error()
    with pytest.raises(grpc.RpcError):
        node.stage(volume, context, STAGING, mount(), timeout=20)
    assert STAGING not in host.run(["cat", "/proc/mounts"]).stdout
    disk.good()
    until = time.monotonic() + 60
    while True:
        try:
            node.stage(volume, context, STAGING, mount(), timeout=20)
            break
        except grpc.RpcError:
            assert time.monotonic() < until
            time.sleep(0.5)
    assert host.run(["cat", f"{STAGING}/file"]).stdout == "precious\n"
    node.unstage(volume, STAGING)
    controller.detach(volume, "host1")
    controller.delete(volume)


def test_a_create_on_a_dead_disk_makes_nothing(faulty: tuple[Stack, FaultDisk]) -> None:
    stack, disk = faulty
    disk.error()
    with pytest.raises(grpc.RpcError):
        stack.controller.create("never", 64 * MIB, mount(), timeout=20)
    disk.good()
    assert "clinker.content=ready" not in stack.lab.host("host1").run(["lvs", "-o", "lv_tags"], check=False).stdout
    assert stack.controller.volumes() == {}
