"""A disk whose reads and writes fail: nothing is taken for made, and nothing that holds data is ever formatted."""

from __future__ import annotations

import grpc
import pytest

from csi_driver.model.ids import volume_key
from tests.lab import MIB, Host
from tests.lab.waiting import eventually
from tests.stack.controllers import await_silent
from tests.stack.csi import Csi, mount
from tests.stack.stack import VG, Stack

SIZE = 320 * MIB
STAGING = "/var/lib/kubelet/bad-disk/staging"
BROKEN = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}
CODES = {
    # LVM says of a disk that cannot be read that there is no such volume group: a pool that takes no volume.
    "dead": {*BROKEN, grpc.StatusCode.RESOURCE_EXHAUSTED},
    "error": BROKEN,
    "read_error": BROKEN,
}


def volumes_of(host: Host) -> str:
    return host.run(["lvs", "--noheadings", "-o", "lv_name,lv_tags", VG]).stdout


def test_volume_whose_reads_fail_is_never_formatted(stack: Stack) -> None:
    host, controller, node = stack.lab.host("host1"), stack.controller, stack.node("host1")
    host.run(["mkdir", "-p", STAGING])
    volume = controller.create("kept", 64 * MIB, mount(), near="host1").volume_id
    context = controller.attach(volume, "host1", mount())
    node.stage(volume, context, STAGING, mount())
    host.run(["sh", "-c", f"echo precious > {STAGING}/file; sync"])
    node.unstage(volume, STAGING)
    host.run(["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"])
    host.fault_disk(0).error()
    try:
        with pytest.raises(grpc.RpcError):
            node.stage(volume, context, STAGING, mount(), timeout=20)
        assert STAGING not in host.run(["cat", "/proc/mounts"]).stdout
    finally:
        host.fault_disk(0).good()
    eventually(lambda: staged(node, volume, context), within=60)
    assert host.run(["cat", f"{STAGING}/file"]).stdout == "precious\n"
    node.unstage(volume, STAGING)
    controller.detach(volume, "host1")
    controller.delete(volume)
    assert stack.leftovers() == {}


def staged(node: Csi, volume: str, context: dict[str, str]) -> bool:
    """One more try, as kubelet makes them."""
    try:
        node.stage(volume, context, STAGING, mount(), timeout=20)
    except grpc.RpcError:
        return False
    return True


@pytest.mark.parametrize("fault", CODES)
def test_volume_whose_disk_fails_while_it_is_made_is_not_made(stack: Stack, fault: str) -> None:
    """The other node is silent, so that the volume has nowhere else to go."""
    host, name, thick = stack.lab.host("host2"), f"fails-{fault}", {"layout": "thick"}
    disk = host.fault_disk(0)
    stack.kill(["host1"])
    await_silent(stack.controller, "host1")
    disk.error() if fault == "dead" else spoil(host, fault)
    try:
        with pytest.raises(grpc.RpcError) as failed:
            stack.controller.create(name, SIZE, mount(), parameters=thick, near="host2", timeout=60)
        assert failed.value.code() in CODES[fault], failed.value.details()
        if fault == "dead":
            disk.good()  # before that LVM's metadata cannot be read
        made = [line for line in volumes_of(host).splitlines() if volume_key(name) in line]
        assert not [line for line in made if "content=ready" in line or "formatted" in line]
        assert not [volume for volume in stack.controller.volumes() if volume_key(name) in volume]
    finally:
        disk.good()
        stack.start(["host1"])
    # Asked again, as external-provisioner does, when both nodes are good again.
    stack.await_ready(["host1"])
    eventually(lambda: stack.controller.capacity("host2") > 0, within=60)
    again = stack.controller.create(name, SIZE, mount(), parameters=thick, near="host2", timeout=60).volume_id
    volumes = "".join(volumes_of(each) for each in stack.lab.hosts[:2])
    assert [line.split()[0] for line in volumes.splitlines() if volume_key(name) in line] == [again]
    holder = host if again in volumes_of(host) else stack.lab.host("host1")
    holder.run(["sh", "-c", f"lvchange -ay -K {VG}/{again} && fsck.ext4 -fn /dev/{VG}/{again}"])
    stack.controller.delete(again)
    assert stack.leftovers() == {}


def spoil(host: Host, fault: str) -> None:
    """LVM's metadata can be written, a volume cannot (or cannot be read): the making of its content fails."""
    disk = host.fault_disk(0)
    good = 100 * MIB // 512  # more than the PV's metadata
    feature = {"error": "", "read_error": " 1 error_reads"}[fault]
    bad = f"{good} {disk.sectors - good} flakey {disk.backing} {good} 0 3600{feature}"
    table = f"0 {good} linear {disk.backing} 0\\n{bad}"
    load = f"printf '{table}\\n' | dmsetup load {disk.name} && dmsetup suspend --noflush --nolockfs {disk.name}"
    host.run(["sh", "-e", "-c", f"{load}; dmsetup resume --noudevsync {disk.name}"])
