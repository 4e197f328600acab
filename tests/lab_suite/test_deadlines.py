"""On a slow disk every verb outlives the caller's deadline: a retry joins what runs, and LVM is never killed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from csi_driver.model.ids import volume_key
from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import MIB, Host
from tests.stack.csi import NOT_FINAL, mount
from tests.stack.stack import VG, Stack

SIZE = 64 * MIB
SLOW = "host2"
DELAY = 250
"""Milliseconds of each write to the disk below the pool of host2: a create takes several seconds, a look does not."""
CUT_SHORT = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.ABORTED}
LIMIT = 120.0
DEADLINES = (0.1, 0.2, 0.4, 0.6, 0.8)
"""Seconds of the first requests, which are cut short at several points of their way; the others have one second."""


@pytest.fixture
def slow(stack: Stack) -> Iterator[Host]:
    """host2, slow, after its pool was used once."""
    host = stack.lab.host(SLOW)
    stack.controller.delete(stack.controller.create("warm", SIZE, mount(), near=SLOW).volume_id)
    host.fault_disk(0).delay(DELAY, writes_only=True)
    yield host
    host.fault_disk(0).good()


def impatient(call: Callable[[float], object]) -> tuple[object, int]:
    """The answer of ``call``, made again with short deadlines until it is over; how often it was cut short."""
    until = time.monotonic() + LIMIT
    for cut, deadline in enumerate(itertools.chain(DEADLINES, itertools.repeat(1.0))):
        try:
            return call(deadline), cut
        except grpc.RpcError as error:
            if error.code() not in NOT_FINAL or time.monotonic() > until:
                raise
        time.sleep(0.1)
    raise AssertionError("there is always another deadline")


def created_impatiently(stack: Stack, name: str) -> tuple[str, int]:
    """As ``impatient``, of a small volume near host2."""
    made, cut = impatient(
        lambda limit: stack.controller.create(name, SIZE, mount(), near=SLOW, timeout=limit).volume_id
    )
    return str(made), cut


def lvm_shells(host: Host) -> list[str]:
    return host.run(["sh", "-c", "grep -lx lvm /proc/[0-9]*/comm 2>/dev/null || true"]).stdout.split()


def volumes_of(host: Host) -> list[str]:
    names = host.run(["lvs", "--noheadings", "-o", "lv_name", VG]).stdout.split()
    return [name for name in names if name.startswith("vol-")]


def log_lines(stack: Stack, event: str, volume: str) -> int:
    """How often the agent of host2 has said that something was done to the volume."""
    log = Path(stack.lab.folder, "logs", SLOW, "clinker-node.log").read_text()
    return sum(event in line and volume in line for line in log.splitlines())


def test_retries_join_what_runs(stack: Stack, slow: Host) -> None:
    controller, shells = stack.controller, lvm_shells(slow)
    assert len(shells) == 1

    volume, cut = created_impatiently(stack, "slow")
    assert cut >= 1
    assert volume_key("slow") in volume
    assert log_lines(stack, "volume made", volume_key("slow")) == 1, "one LV was made, by the first request"
    assert log_lines(stack, "file system made", volume) == 1
    assert (volumes_of(slow), volumes_of(stack.lab.host("host1"))) == ([volume], [])

    impatient(lambda limit: controller.attach(volume, "host3", mount(), timeout=limit))
    assert log_lines(stack, "publication entered", volume) == 1

    impatient(lambda limit: expand(stack, volume, 2 * SIZE, limit))
    assert log_lines(stack, "volume grown", volume) == 1

    impatient(lambda limit: controller.detach(volume, "host3", timeout=limit))
    impatient(lambda limit: controller.delete(volume, timeout=limit))
    slow.fault_disk(0).good()
    assert log_lines(stack, "volume deleted", volume) == 1
    assert lvm_shells(slow) == shells, "no deadline has cost the LVM shell its life"
    for host in stack.lab.hosts[:2]:
        assert volumes_of(host) == []
    assert stack.leftovers() == {}


def expand(stack: Stack, volume: str, size: int, limit: float) -> int:
    request = csi.ControllerExpandVolumeRequest(volume_id=volume, capacity_range=csi.CapacityRange(required_bytes=size))
    answer = stack.controller.call(
        "Controller/ControllerExpandVolume", request, csi.ControllerExpandVolumeResponse, timeout=limit
    )
    return answer.capacity_bytes


def test_a_creation_ends_where_every_question_takes_longer_than_the_caller_waits(stack: Stack) -> None:
    """Reads are slow as well: a look at the group alone takes longer than a second."""
    host = stack.lab.host(SLOW)
    host.fault_disk(0).delay(DELAY)
    try:
        began = time.monotonic()
        volume, cut = created_impatiently(stack, "slow-reads")
        print(f"slow reads: a create took {time.monotonic() - began:.0f} s and {cut} calls that were cut short")
    finally:
        host.fault_disk(0).good()
    assert cut >= 1
    assert [volume] == volumes_of(host)
    assert log_lines(stack, "volume made", volume_key("slow-reads")) == 1
    stack.controller.delete(volume)
    assert stack.leftovers() == {}


def test_another_volume_of_the_node_is_not_told_that_of_the_first(stack: Stack, slow: Host) -> None:
    """Two names at once, each cut short and retried: each gets its own."""
    wanted = ("slow-one", "slow-two")
    for name in wanted:
        with pytest.raises(grpc.RpcError) as cut:
            stack.controller.create(name, SIZE, mount(), near=SLOW, timeout=1)
        assert cut.value.code() in CUT_SHORT
    ids = [created_impatiently(stack, name)[0] for name in wanted]
    slow.fault_disk(0).good()
    assert [volume_key(name) in volume for name, volume in zip(wanted, ids, strict=True)] == [True, True]
    assert sorted(volumes_of(slow)) == sorted(ids)
    for volume in ids:
        stack.controller.delete(volume)
    assert stack.leftovers() == {}
