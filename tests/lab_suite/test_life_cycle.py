"""Volumes of every kind on real LVM, LIO and open-iscsi: made, grown under a writer on either path, moved, gone; every
record that one node was told to be safe is found by the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import grpc
import pytest

from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import MIB, Host
from tests.stack.csi import block, mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

FOLDER = "/var/lib/kubelet/life"
STAGING, TARGET = f"{FOLDER}/staging", f"{FOLDER}/target"
LOCAL, REMOTE = "host1", "host3"
WAY = ((LOCAL, "local"), (REMOTE, "iscsi"), (LOCAL, "local"))


@dataclass(frozen=True)
class Kind:
    """A kind of volume: its layout, and its file system or none."""

    layout: str
    fs: str

    @property
    def capability(self) -> csi.VolumeCapability:
        return mount(self.fs) if self.fs else block()

    @property
    def records(self) -> str:
        return f"{TARGET}/records" if self.fs else TARGET

    def __str__(self) -> str:
        return f"{self.layout}-{self.fs or 'block'}"


KINDS = [Kind(layout, fs) for layout in ("thin", "thick") for fs in ("ext4", "xfs", "")]
SIZE, STEP = 320 * MIB, 64 * MIB
"""Bytes; xfs needs 300 MiB."""


def use(stack: Stack, volume: str, node: str, kind: Kind, *, readonly: bool = False) -> dict[str, str]:
    """Attached, staged and published."""
    stack.lab.host(node).run(["mkdir", "-p", STAGING])
    context = stack.controller.attach(volume, node, kind.capability, readonly=readonly)
    stack.node(node).stage(volume, context, STAGING, kind.capability)
    stack.node(node).publish(volume, context, STAGING, TARGET, kind.capability)
    return context


def let_go(stack: Stack, volume: str, node: str) -> None:
    """Unpublished, unstaged and detached."""
    stack.node(node).unpublish(volume, TARGET)
    stack.node(node).unstage(volume, STAGING)
    stack.controller.detach(volume, node)


def size(stack: Stack, node: str, kind: Kind) -> int:
    """Bytes of the file system or of the device, as its user sees it."""
    if not kind.fs:
        return int(stack.lab.host(node).run(["blockdev", "--getsize64", TARGET]).stdout)
    blocks, length = stack.lab.host(node).run(["stat", "-f", "-c", "%b %S", TARGET]).stdout.split()
    return int(blocks) * int(length)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_life(stack: Stack, kind: Kind) -> None:
    controller = stack.controller
    made = controller.create(f"life-{kind}", SIZE, kind.capability, parameters={"layout": kind.layout}, near=LOCAL)
    assert made.capacity_bytes == SIZE
    volume = made.volume_id
    assert volume in stack.lab.host(LOCAL).run(["lvs", "--noheadings", "-o", "lv_name"]).stdout
    safe: set[int] = set()
    for turn, (node, transport) in enumerate(WAY):
        host = stack.lab.host(node)
        assert use(stack, volume, node, kind)["transport"] == transport
        assert controller.volumes()[volume] == [node]
        if turn:
            good, bad = verify(host, kind.records)
            assert safe <= good, "what was safe on one node is there on the next"
            assert not bad
        writer = Writer.start(host, kind.records, name=f"{kind}-{turn}")
        writer.await_more(5, seconds=60)
        grow(stack, volume, node, kind, SIZE + (turn + 1) * STEP)
        writer.await_more(5, seconds=60)
        writer.stop()
        assert writer.error() == ""
        safe |= set(writer.safe())
        let_go(stack, volume, node)
    controller.delete(volume)
    controller.delete(volume)
    assert stack.leftovers() == {}


def grow(stack: Stack, volume: str, node: str, kind: Kind, wanted: int) -> None:
    before = size(stack, node, kind)
    assert stack.controller.expand(volume, wanted) == wanted
    assert stack.node(node).grow(volume, TARGET) in {0, wanted}
    assert size(stack, node, kind) >= before + STEP * 8 // 10


def test_new_thick_block_volume_holds_nothing_of_the_old_tenant(stack: Stack) -> None:
    kind = Kind("thick", "")
    for name in ("old", "new"):
        made = stack.controller.create(name, 64 * MIB, block(), parameters={"layout": "thick"}, near=LOCAL)
        use(stack, made.volume_id, LOCAL, kind)
        host = stack.lab.host(LOCAL)
        if name == "old":
            fill = f"yes tenant | dd of={TARGET} bs=1M count=64 iflag=fullblock conv=notrunc,fsync 2>/dev/null"
            host.run(["sh", "-c", fill], timeout=120)
        else:
            found = host.run(["grep", "-c", "tenant", TARGET], check=False, timeout=120)
            assert found.stdout.strip() == "0"
        let_go(stack, made.volume_id, LOCAL)
        stack.controller.delete(made.volume_id)


@pytest.mark.parametrize("node", [LOCAL, REMOTE])
def test_read_only_is_enforced_below_the_mount(stack: Stack, node: str) -> None:
    kind = Kind("thin", "")
    volume = stack.controller.create(f"ro-{node}", 64 * MIB, block(), near=LOCAL).volume_id
    use(stack, volume, node, kind, readonly=True)
    device = stack.lab.host(node).run(["sh", "-c", f"printf x | dd of={TARGET} conv=notrunc,fsync"], check=False)
    assert device.rc != 0
    assert "ermitted" in device.stderr or "ead-only" in device.stderr
    let_go(stack, volume, node)
    stack.controller.delete(volume)


def test_published_volume_is_neither_deleted_nor_given_to_another(stack: Stack) -> None:
    kind = Kind("thin", "ext4")
    volume = stack.controller.create("held", 64 * MIB, mount(), near=LOCAL).volume_id
    use(stack, volume, REMOTE, kind)
    for refused in (lambda: stack.controller.delete(volume), lambda: stack.controller.attach(volume, LOCAL, mount())):
        with pytest.raises(grpc.RpcError, match=REMOTE) as told:
            refused()
        assert told.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    let_go(stack, volume, REMOTE)
    stack.controller.delete(volume)
    assert stack.leftovers() == {}


def test_device_nodes_that_a_fence_leaves_never_lead_to_another_volume(stack: Stack) -> None:
    """The bind, and the node that a container runtime makes in a container, hold only a number, and nothing open."""
    kind, host, own = Kind("thin", ""), stack.lab.host(LOCAL), f"{FOLDER}/node-in-a-container"
    fenced, other = (stack.controller.create(name, 64 * MIB, block(), near=LOCAL).volume_id for name in ("one", "two"))
    use(stack, fenced, LOCAL, kind)
    host.run(["sh", "-c", f"mknod {own} b $((0x$(stat -c %t {TARGET}))) $((0x$(stat -c %T {TARGET})))"])
    stack.controller.detach(fenced, LOCAL)

    context = stack.controller.attach(other, LOCAL, block())
    staging, target = f"{FOLDER}/staging-two", f"{FOLDER}/target-two"
    host.run(["mkdir", "-p", staging])
    stack.node(LOCAL).stage(other, context, staging, block())
    stack.node(LOCAL).publish(other, context, staging, target, block())
    host.run(["sh", "-c", f"printf second | dd of={target} conv=notrunc,fsync"])
    for old in (TARGET, own):
        stolen = host.run(["sh", "-c", f"printf stolen | dd of={old} conv=notrunc,fsync"], check=False)
        assert stolen.rc != 0, old
        assert "nput/output error" in stolen.stderr, stolen.stderr
    host.run(["sh", "-c", "echo 3 > /proc/sys/vm/drop_caches"])
    assert host.run(["head", "-c", "6", target]).stdout == "second"

    # What the fence left is swept once kubelet has taken the pod down.
    stack.node(LOCAL).unpublish(fenced, TARGET)
    assert len(severed(host)) == 1
    stack.node(LOCAL).unstage(fenced, STAGING)
    stack.node(LOCAL).unpublish(other, target)
    stack.node(LOCAL).unstage(other, staging)
    stack.controller.detach(other, LOCAL)
    assert severed(host) == []
    host.run(["rm", own])
    for volume in (fenced, other):
        stack.controller.delete(volume)
    assert stack.leftovers() == {}


def severed(host: Host) -> list[str]:
    return [name for name in host.run(["dmsetup", "ls"]).stdout.split() if ".fenced." in name]
