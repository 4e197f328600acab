"""A volume that grows under a writer, on its own node and then on another one, with every record it was told to be
safe found by the next node. The life of every kind of volume: see ``test_stack_life_cycle``.
"""

from __future__ import annotations

import pytest

from tests.lab import MIB
from tests.stack.csi import mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

STAGING, TARGET = "/var/lib/kubelet/life/staging", "/var/lib/kubelet/life/target"
RECORDS = f"{TARGET}/records"
FIRST, STEP = 320 * MIB, 128 * MIB
"""Bytes; xfs needs 300 MiB."""


def size(stack: Stack, node: str) -> int:
    """Bytes of the file system, as its user sees it."""
    blocks, length = stack.lab.host(node).run(["stat", "-f", "-c", "%b %S", TARGET]).stdout.split()
    return int(blocks) * int(length)


@pytest.mark.parametrize(("fs", "layout"), [("ext4", "thin"), ("xfs", "thick")])
def test_grows_under_a_writer_on_either_path(stack: Stack, fs: str, layout: str) -> None:
    name = f"grows-{fs}-{layout}"
    volume = stack.controller.create(name, FIRST, mount(fs), parameters={"layout": layout}, near="host1").volume_id
    safe: set[int] = set()
    for turn, (node, transport) in enumerate((("host1", "local"), ("host3", "iscsi"), ("host1", "local"))):
        host, client = stack.lab.host(node), stack.node(node)
        host.run(["mkdir", "-p", STAGING])
        context = stack.controller.attach(volume, node, mount(fs))
        assert context["transport"] == transport
        client.stage(volume, context, STAGING, mount(fs))
        client.publish(volume, context, STAGING, TARGET, mount(fs))
        if turn:
            good, bad = verify(host, RECORDS)
            assert safe <= good, "what was safe on one node is there on the next"
            assert not bad

        writer = Writer.start(host, RECORDS, name=f"{name}-{turn}")
        writer.await_more(5, seconds=60)
        before, wanted = size(stack, node), FIRST + (turn + 1) * STEP
        assert stack.controller.expand(volume, wanted) == wanted
        assert client.grow(volume, TARGET) in {0, wanted}
        assert size(stack, node) >= before + STEP * 8 // 10
        writer.await_more(5, seconds=60)
        writer.stop()
        assert writer.error() == ""
        safe |= set(writer.safe())

        client.unpublish(volume, TARGET)
        client.unstage(volume, STAGING)
        stack.controller.detach(volume, node)
    stack.controller.delete(volume)
    assert stack.leftovers() == {}
