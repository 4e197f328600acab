"""A storage node whose agent is dead, whose link is cut or which hangs is unknown, not absent (DESIGN 2), RPC by RPC;
also to a controller that has never heard it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import MIB, Host
from tests.stack.controllers import await_silent
from tests.stack.csi import mount
from tests.stack.records import Writer, verify
from tests.stack.stack import VG, Stack

SIZE = 256 * MIB
CAPABILITY = mount()
SILENT, OTHER, CONSUMER = "host1", "host2", "host3"
STAGING, TARGET = "/var/lib/kubelet/silent/staging", "/var/lib/kubelet/silent/target"
UNAVAILABLE = grpc.StatusCode.UNAVAILABLE


class Volume:
    """A volume of the node that falls silent, in use over iSCSI, with a writer at work."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.name, self.host = stack, name, stack.lab.host(CONSUMER)
        self.id = stack.controller.create(name, SIZE, CAPABILITY, near=SILENT).volume_id
        context = stack.controller.attach(self.id, CONSUMER, CAPABILITY)
        self.host.run(["mkdir", "-p", STAGING])
        stack.node(CONSUMER).stage(self.id, context, STAGING, CAPABILITY)
        stack.node(CONSUMER).publish(self.id, context, STAGING, TARGET, CAPABILITY)
        self.writer = Writer.start(self.host, f"{TARGET}/records", name=f"writer-{name}")
        self.writer.await_more(5, seconds=60)

    def calls(self) -> dict[str, Callable[[], object]]:
        """Every RPC of the controller about this one volume; in an order in which all of them can be done."""
        controller, request = self.stack.controller, csi.ControllerGetVolumeRequest(volume_id=self.id)
        return {
            "Create": lambda: controller.create(self.name, SIZE, CAPABILITY, near=OTHER, timeout=20),
            "Publish": lambda: controller.attach(self.id, CONSUMER, CAPABILITY, timeout=20),
            "Expand": lambda: controller.expand(self.id, 2 * SIZE),
            "Get": lambda: controller.call(
                "Controller/ControllerGetVolume", request, csi.ControllerGetVolumeResponse, timeout=20
            ),
            "Unpublish": lambda: controller.detach(self.id, CONSUMER, timeout=20),
            "Delete": lambda: controller.delete(self.id, timeout=20),
        }

    def end_use(self) -> None:
        """Its writer saw no error, and all that it was told to be safe is there."""
        self.writer.await_more(5, seconds=120)
        self.writer.stop()
        assert self.writer.error() == ""
        good, bad = verify(self.host, f"{TARGET}/records")
        assert set(self.writer.safe()) <= good
        assert not bad
        self.stack.node(CONSUMER).unpublish(self.id, TARGET)
        self.stack.node(CONSUMER).unstage(self.id, STAGING)


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def volumes_of(host: Host) -> list[str]:
    return host.run(["lvs", "--noheadings", "-o", "lv_name", VG]).stdout.split()


@contextlib.contextmanager
def agent_killed(stack: Stack) -> Iterator[None]:
    stack.kill([SILENT])
    try:
        yield
    finally:
        stack.start([SILENT])


@contextlib.contextmanager
def link_cut(stack: Stack) -> Iterator[None]:
    """Between the node and the controller's, which here is the consumer's too."""
    ends = stack.lab.host(SILENT), stack.controller_host
    ends[0].cut(ends[1])
    ends[1].cut(ends[0])
    try:
        yield
    finally:
        ends[1].mend(ends[0])
        ends[0].mend(ends[1])


@contextlib.contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """The whole host hangs: connections stay, and nothing answers."""
    stack.lab.host(SILENT).freeze()
    try:
        yield
    finally:
        stack.lab.host(SILENT).thaw()


@pytest.mark.parametrize("silence", [agent_killed, link_cut, frozen])
def test_silent_node_rpc_by_rpc(
    stack: Stack, silence: Callable[[Stack], contextlib.AbstractContextManager[None]]
) -> None:
    controller = stack.controller
    volume = Volume(stack, silence.__name__)
    calls = volume.calls()
    with silence(stack):
        await_silent(controller, SILENT)
        assert {verb: code_of(call) for verb, call in calls.items()} == dict.fromkeys(calls, UNAVAILABLE)
        assert controller.volumes()[volume.id] == [CONSUMER], "ListVolumes serves what was heard last"
        assert controller.capacity() == controller.capacity(OTHER) > 0
        elsewhere = controller.create(f"elsewhere-{volume.name}", SIZE, CAPABILITY, near=SILENT, timeout=60).volume_id
        assert elsewhere in volumes_of(stack.lab.host(OTHER))
        if silence is agent_killed:
            volume.writer.await_more(20, seconds=60)  # the data path needs no agent

    stack.await_ready([SILENT])
    volume.end_use()
    assert {verb: code_of(call) for verb, call in calls.items()} == dict.fromkeys(calls, grpc.StatusCode.OK)
    assert volume.id not in volumes_of(stack.lab.host(SILENT))
    controller.delete(elsewhere)
    assert stack.leftovers() == {}


def test_controller_that_has_never_heard_the_node(stack: Stack) -> None:
    """It knows from its settings that there is such a node: what it does not know of may lie there."""
    volume = Volume(stack, "never-heard")
    calls = volume.calls()
    # It cannot know the name's volume, and a silent node stops no creates: that would be a copy of its own.
    del calls["Create"]
    with agent_killed(stack):
        stack.restart("controller")
        assert {verb: code_of(call) for verb, call in calls.items()} == dict.fromkeys(calls, UNAVAILABLE)
        assert stack.controller.volumes() == {}
        assert stack.controller.capacity(SILENT) == 0
        volume.writer.await_more(5, seconds=60)

    stack.await_ready([SILENT])
    assert stack.controller.volumes() == {volume.id: [CONSUMER]}
    volume.end_use()
    assert {verb: code_of(call) for verb, call in calls.items()} == dict.fromkeys(calls, grpc.StatusCode.OK)
    assert stack.leftovers() == {}
