"""ControllerUnpublishVolume alone, as on force detach: of a node alive, hung, cut off, or of the storage node itself.

When it has answered, the next node finds all that the old one was told is safe, and nothing that the old one still
does arrives any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from csi_driver.model.sizes import GIB, MIB
from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import Host, HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import NOT_FINAL, Csi, block, mount
from tests.stack.records import Writer, verify
from tests.stack.stack import CONTROLLER_SOCKET, Stack, make_pool

STORAGE, OLD, NEXT = "host1", "host2", "host3"
"""The controller is on the last one."""
FOLDER = "/var/lib/kubelet/fence"
STAGING, TARGET = f"{FOLDER}/staging", f"{FOLDER}/target"
SAFE = 30
"""Records before the fence."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec(STORAGE, (4 * GIB,)), HostSpec(OLD), HostSpec(NEXT)]) as lab:
        host = lab.host(STORAGE)
        host.put("/etc/lvm/lvmlocal.conf", f'devices {{ global_filter = [ "r|^{host.disks[0]}$|" ] }}\n')
        make_pool(host, [host.fault_disk(0).path])
        stack = Stack(lab=lab, lvm_devices='"/dev/mapper/lab-.*"', patience=120)
        stack.up()
        for each in lab.hosts:
            each.run(["mkdir", "-p", STAGING])
        yield stack


def use(stack: Stack, volume: str, node: str, capability: csi.VolumeCapability) -> str:
    """Attached, staged and published; where its records go."""
    context = stack.controller.attach(volume, node, capability)
    stack.node(node).stage(volume, context, STAGING, capability)
    stack.node(node).publish(volume, context, STAGING, TARGET, capability)
    return f"{TARGET}/records" if capability.HasField("mount") else TARGET


def let_go(stack: Stack, volume: str, node: str) -> None:
    stack.node(node).unpublish(volume, TARGET)
    stack.node(node).unstage(volume, STAGING)
    stack.controller.detach(volume, node)


def written(stack: Stack, volume: str, node: str, capability: csi.VolumeCapability) -> Writer:
    """A writer on the old node, some records of which are safe."""
    path = use(stack, volume, node, capability)
    verb = "write" if capability.HasField("mount") else "direct"
    writer = Writer.start(stack.lab.host(node), path, name=f"fenced-{volume[-8:]}", verb=verb)
    writer.await_more(SAFE, seconds=120)
    return writer


def check_next(stack: Stack, volume: str, writer: Writer, capability: csi.VolumeCapability) -> set[int]:
    """The next node has every record that the old one was told is safe; the records that it found."""
    path = use(stack, volume, NEXT, capability)
    safe = set(writer.safe())
    good, _ = verify(stack.lab.host(NEXT), path, None if capability.HasField("mount") else max(safe) + 100)
    assert safe <= good
    return good


def check_gone(stack: Stack, volume: str, writer: Writer, found: set[int], capability: csi.VolumeCapability) -> None:
    """The old node's writer has an error, and has changed nothing since. Then all is given back."""
    eventually(lambda: writer.error() != "", within=180)
    path = f"{TARGET}/records" if capability.HasField("mount") else TARGET
    now, _ = verify(stack.lab.host(NEXT), path, None if capability.HasField("mount") else max(found) + 100)
    assert now == found
    stack.node(writer.host.name).unpublish(volume, TARGET)
    stack.node(writer.host.name).unstage(volume, STAGING)
    let_go(stack, volume, NEXT)
    stack.controller.delete(volume)
    eventually(lambda: stack.leftovers() == {}, within=120)


@contextmanager
def alive(stack: Stack) -> Iterator[None]:
    """The old node goes on as it was."""
    assert stack.lab.host(OLD).alive
    yield


@contextmanager
def hung(stack: Stack) -> Iterator[None]:
    """It stops in the middle of whatever it does. The storage node's process has forgotten it but for its journal."""
    stack.lab.host(OLD).freeze()
    try:
        stack.restart(STORAGE)
        eventually(lambda: stack.controller.capacity(STORAGE) > 0, within=120)
        yield
    finally:
        stack.lab.host(OLD).thaw()


@contextmanager
def cut(stack: Stack) -> Iterator[None]:
    """Nothing that it sends arrives."""
    old, peers = stack.lab.host(OLD), [stack.lab.host(name) for name in (STORAGE, NEXT)]
    for peer in peers:
        old.cut(peer)
    try:
        yield
    finally:
        for peer in peers:
            old.mend(peer)


@pytest.mark.parametrize("state", ["alive", "hung", "cut"])
def test_a_node_is_fenced_whatever_its_state(stack: Stack, state: str) -> None:
    capability = mount()
    volume = stack.controller.create(f"fence-{state}", 64 * MIB, capability, near=STORAGE).volume_id
    writer = written(stack, volume, OLD, capability)
    with {"alive": alive, "hung": hung, "cut": cut}[state](stack):
        stack.controller.detach(volume, OLD)
        found = check_next(stack, volume, writer, capability)
    check_gone(stack, volume, writer, found, capability)


@pytest.mark.parametrize("capability", [mount(), mount("xfs"), block()], ids=["ext4", "xfs", "block"])
def test_the_storage_node_itself_is_fenced(stack: Stack, capability: csi.VolumeCapability) -> None:
    name = f"own-{capability.mount.fs_type or 'block'}"
    volume = stack.controller.create(name, 320 * MIB, capability, near=STORAGE).volume_id
    writer = written(stack, volume, STORAGE, capability)
    assert stack.lab.host(STORAGE).run(["dmsetup", "info", volume]).rc == 0
    stack.controller.detach(volume, STORAGE)
    found = check_next(stack, volume, writer, capability)
    check_gone(stack, volume, writer, found, capability)


def code(call: Callable[[], object]) -> grpc.StatusCode:
    """What a call is refused with."""
    with pytest.raises(grpc.RpcError) as refused:
        call()
    answer = refused.value.code()
    assert isinstance(answer, grpc.StatusCode)
    return answer


@pytest.mark.parametrize("old", [OLD, STORAGE])
def test_behind_a_dead_disk_the_volume_stays_closed_to_all(stack: Stack, old: str) -> None:
    capability = block()
    volume = stack.controller.create(f"dead-{old}", 64 * MIB, capability, near=STORAGE).volume_id
    writer = written(stack, volume, old, capability)
    disk: Host = stack.lab.host(STORAGE)
    disk.fault_disk(0).delay(3_600_000)
    quick = Csi(stack.controller_host.socket(CONTROLLER_SOCKET))
    try:
        before = len(writer.safe())
        assert code(lambda: quick.detach(volume, old, timeout=10)) in NOT_FINAL
        # The job waits for the disk: who asks again is told so, and nobody else is let in.
        assert code(lambda: quick.detach(volume, old, timeout=10)) in NOT_FINAL
        assert code(lambda: quick.attach(volume, NEXT, capability, timeout=10)) in (
            *NOT_FINAL,
            grpc.StatusCode.FAILED_PRECONDITION,
        )
        assert len(writer.safe()) <= before + 1
    finally:
        disk.fault_disk(0).good()
    stack.controller.detach(volume, old)
    found = check_next(stack, volume, writer, capability)
    check_gone(stack, volume, writer, found, capability)
