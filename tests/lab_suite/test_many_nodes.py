"""Volumes that several nodes use at once, the one that holds the disk among them: all over iSCSI, from one target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from csi_driver.model.ids import VolumeId
from csi_driver.model.sizes import GIB, MIB
from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import Mode, block, mount
from tests.stack.stack import Stack

OWNER, SECOND, THIRD = NODES = ("host1", "host2", "host3")
FOLDER = "/var/lib/kubelet/many"
STAGING, TARGET = f"{FOLDER}/staging", f"{FOLDER}/target"
SHARED = block(mode=Mode.MULTI_NODE_MULTI_WRITER)
READ_BLOCK = block(mode=Mode.MULTI_NODE_READER_ONLY)
READ_MOUNT = mount(mode=Mode.MULTI_NODE_READER_ONLY)
RESERVE = "/tmp/clinker-reserve.py"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec(OWNER, (4 * GIB,)), HostSpec(SECOND), HostSpec(THIRD)]) as lab:
        stack = Stack(lab=lab, patience=120)
        stack.up()
        yield stack


@contextmanager
def created(stack: Stack, name: str, capability: csi.VolumeCapability) -> Iterator[str]:
    """A volume of the first node; of a test that passes nothing may be left of it anywhere."""
    for host in stack.lab.hosts:
        host.run(["mkdir", "-p", STAGING])
        host.put(RESERVE, (Path(__file__).parents[1] / "stack/reserve.py").read_bytes())
    volume = stack.controller.create(name, 64 * MIB, capability, near=OWNER).volume_id
    yield volume
    stack.controller.delete(volume)
    eventually(lambda: stack.leftovers() == {}, within=120)


def use(stack: Stack, volume: str, node: str, capability: csi.VolumeCapability) -> Mapping[str, str]:
    context = stack.controller.attach(volume, node, capability)
    stack.node(node).stage(volume, context, STAGING, capability)
    stack.node(node).publish(volume, context, STAGING, TARGET, capability)
    return context


def let_go(stack: Stack, volume: str, node: str) -> None:
    stack.node(node).unpublish(volume, TARGET)
    stack.node(node).unstage(volume, STAGING)
    stack.controller.detach(volume, node)


def reserve(stack: Stack, node: str, verb: str, word: str) -> str:
    """What the guest's program prints."""
    return stack.lab.host(node).run(["python3", RESERVE, verb, word, TARGET], timeout=120).stdout.strip()


def read(stack: Stack, node: str, length: int) -> str:
    script = f"dd if={TARGET} bs=4096 count=1 iflag=direct 2>/dev/null | head -c {length}"
    return stack.lab.host(node).run(["sh", "-c", script]).stdout


def test_all_nodes_write_one_block_volume_and_one_is_fenced(stack: Stack) -> None:
    with created(stack, "shared", SHARED) as volume:
        contexts = [use(stack, volume, node, SHARED) for node in NODES]
        assert [context["transport"] for context in contexts] == ["iscsi"] * 3
        assert sorted(stack.controller.volumes()[volume]) == list(NODES)
        for node in NODES:
            assert reserve(stack, node, "write", f"by-{node}") == "done"
            assert {read(stack, each, 8) for each in NODES} == {f"by-{node}"}

        # The first one, whose publication made what all use: a fence without NodeUnstage.
        stack.controller.detach(volume, OWNER)

        assert reserve(stack, OWNER, "write", "stolen!!") != "done"
        for node in (SECOND, THIRD):
            assert reserve(stack, node, "write", f"of-{node}") == "done"
            assert {read(stack, each, 8) for each in (SECOND, THIRD)} == {f"of-{node}"}
        stack.restart(OWNER)
        eventually(lambda: stack.controller.capacity(OWNER) > 0, within=120)
        assert reserve(stack, SECOND, "write", "restart!") == "done"
        for node in NODES:
            let_go(stack, volume, node)


def test_many_nodes_read_a_file_system_and_none_writes(stack: Stack) -> None:
    with created(stack, "read", READ_MOUNT) as volume:
        writer = mount()
        use(stack, volume, THIRD, writer)
        stack.lab.host(THIRD).run(["sh", "-c", f"printf content > {TARGET}/file && sync"])
        let_go(stack, volume, THIRD)

        for node in NODES:
            use(stack, volume, node, READ_MOUNT)

        for node in NODES:
            host = stack.lab.host(node)
            assert host.run(["cat", f"{TARGET}/file"]).stdout == "content"
            assert host.run(["sh", "-c", f"printf x > {TARGET}/file"], check=False).rc != 0
            assert host.run(["blockdev", "--getro", f"/dev/mapper/{volume}-iscsi"]).stdout.strip() == "1"
        for node in NODES:
            let_go(stack, volume, node)


def test_a_reader_is_kept_from_writing_by_the_target(stack: Stack) -> None:
    with created(stack, "read-block", READ_BLOCK) as volume:
        for node in (OWNER, THIRD):
            use(stack, volume, node, READ_BLOCK)
        identity = VolumeId.parse(volume)
        assert identity is not None
        acls = f"/sys/kernel/config/target/iscsi/{identity.iqn}/tpgt_1/acls/*/lun_0/write_protect"
        assert stack.lab.host(OWNER).run(["sh", "-c", f"cat {acls}"]).stdout.split() == ["1", "1"]
        for node in (OWNER, THIRD):
            assert reserve(stack, node, "write", "mine") != "done"
            let_go(stack, volume, node)


def test_reservations_outlive_the_storage_nodes_power(stack: Stack) -> None:
    with created(stack, "reserved", SHARED) as volume:
        for node in NODES:
            use(stack, volume, node, SHARED)
        assert reserve(stack, SECOND, "register", "17") == "done"
        assert reserve(stack, SECOND, "reserve", "17") == "done"
        assert reserve(stack, SECOND, "write", "holder") == "done"
        assert reserve(stack, THIRD, "write", "other") != "done"

        stack.reboot(stack.lab.host(OWNER))

        assert reserve(stack, THIRD, "write", "other") != "done"
        assert reserve(stack, SECOND, "write", "still") == "done"
        assert read(stack, THIRD, 5) == "still"
        assert reserve(stack, THIRD, "register", "18") == "done"
        assert reserve(stack, THIRD, "write", "third") == "done"
        stack.await_ready()
        eventually(lambda: stack.controller.capacity(OWNER) > 0, within=120)
        # The holder is fenced: what it had reserved ends with its publication.
        stack.controller.detach(volume, SECOND)
        assert reserve(stack, THIRD, "write", "fence") == "done"
        for node in (SECOND, THIRD):
            let_go(stack, volume, node)
        # Its machine, and so its pod, went down with the power.
        stack.node(OWNER).unpublish(volume, TARGET)
        stack.node(OWNER).unstage(volume, STAGING)
        stack.controller.detach(volume, OWNER)
