"""The storage node itself as a consumer that loses power, both ends that do at once, and processes that are killed
and started again. The other reboots: see ``test_stack_reboots``.
"""

from __future__ import annotations

import json

import pytest

from tests.lab import MIB, Host
from tests.stack.controllers import await_heard
from tests.stack.csi import Csi, block, mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

SIZE = 256 * MIB
STAGING, TARGET = "/var/lib/kubelet/reboots/staging", "/var/lib/kubelet/reboots/target"
STORAGE, CONSUMER = "host1", "host3"


class Use:
    """A volume of host1 in use on ``node``, with data on disk."""

    def __init__(self, stack: Stack, name: str, node: str) -> None:
        self.stack, self.node, self.host = stack, node, stack.lab.host(node)
        self.id = stack.controller.create(name, SIZE, mount(), near=STORAGE).volume_id
        self.context = stack.controller.attach(self.id, node, mount())
        self.stage()
        self.publish()
        self.host.run(["sh", "-c", f"echo precious > {TARGET}/file && sync {TARGET}/file {TARGET}"])

    @property
    def client(self) -> Csi:
        return self.stack.node(self.node)

    def stage(self) -> None:
        self.host.run(["mkdir", "-p", STAGING])
        self.client.stage(self.id, self.context, STAGING, mount())

    def publish(self) -> None:
        self.client.publish(self.id, self.context, STAGING, TARGET, mount())

    def read(self) -> str:
        return self.host.run(["cat", f"{TARGET}/file"]).stdout

    def end(self) -> None:
        """Of a test that passes nothing may be left anywhere."""
        self.client.unpublish(self.id, TARGET)
        self.client.unstage(self.id, STAGING)
        self.stack.controller.detach(self.id, self.node)
        self.stack.controller.delete(self.id)
        assert self.stack.leftovers() == {}


def secrets(storage: Host) -> list[str]:
    """The CHAP secrets in a storage node's journal."""
    names = storage.run(["find", "/var/lib/clinker/journal", "-type", "f"]).stdout.split()
    return [json.loads(storage.get(name))["secret"] for name in names]


def kernel_state(host: Host) -> str:
    """What a restart of a process must not change: sessions, devices and their tables, targets, mounts."""
    looks = (
        "cd /sys/class/iscsi_session && grep -H . */targetname */state 2>/dev/null || true",
        "dmsetup info -c --noheadings -o name,uuid,major,minor,open | sort; dmsetup table | sort",
        "cd /sys/kernel/config/target 2>/dev/null && find . | sort; grep -r . --include=auth* . 2>/dev/null | sort",
        "grep -E 'kubelet|vol-' /proc/self/mountinfo || true",
    )
    return "\n".join(host.run(["sh", "-c", look]).stdout for look in looks)


def test_storage_node_reboots_with_a_volume_of_its_own_in_use(stack: Stack) -> None:
    use = Use(stack, "local", STORAGE)
    stack.reboot(use.host)
    stack.await_ready()
    await_heard(stack.controller, STORAGE)
    assert TARGET not in use.host.get("/proc/mounts").decode()

    use.stage()  # with the old publication: the wrapper is there again, under its number
    use.publish()

    assert use.read() == "precious\n"
    use.end()


def test_both_ends_lose_power_at_once(stack: Stack) -> None:
    use = Use(stack, "both-ends", CONSUMER)
    before = secrets(stack.lab.host(STORAGE))
    use.host.crash()
    stack.reboot(stack.lab.host(STORAGE))
    use.host.boot()
    for name in (CONSUMER, "controller"):
        stack.processes.pop(name)
    stack.start()
    stack.await_ready()
    await_heard(stack.controller, STORAGE)

    use.stage()
    use.publish()

    assert use.read() == "precious\n"
    assert secrets(stack.lab.host(STORAGE)) == before
    use.end()


@pytest.mark.parametrize("node", [STORAGE, CONSUMER])
def test_processes_restart_and_nothing_changes(stack: Stack, node: str) -> None:
    use = Use(stack, f"restart-{node}", node)
    raw = stack.controller.create(f"restart-block-{node}", SIZE, block(), near=STORAGE).volume_id
    raw_context = stack.controller.attach(raw, node, block())
    use.client.stage(raw, raw_context, f"{STAGING}-block", block())
    use.client.publish(raw, raw_context, f"{STAGING}-block", f"{TARGET}-block", block())
    writer = Writer.start(use.host, f"{TARGET}/records", name=f"restart-writer-{node}")
    writer.await_more(5, seconds=60)
    ends = [stack.lab.host(STORAGE), stack.lab.host(CONSUMER)]
    before = [kernel_state(host) for host in ends], secrets(ends[0])
    assert f"{TARGET}-block" in before[0][ends.index(use.host)]

    for names in ([STORAGE], [CONSUMER], ["controller"], None):
        stack.kill(names)
        writer.await_more(5, seconds=60)
        stack.start()
        stack.await_ready()
        await_heard(stack.controller, STORAGE)
        assert ([kernel_state(host) for host in ends], secrets(ends[0])) == before

    use.stage()
    use.publish()
    listed = stack.controller.volumes()
    assert (listed[use.id], listed[raw]) == ([node], [node])
    writer.await_more(5, seconds=60)
    writer.stop()
    assert writer.error() == ""
    good, bad = verify(use.host, f"{TARGET}/records")
    assert set(writer.safe()) <= good
    assert not bad
    use.client.unpublish(raw, f"{TARGET}-block")
    use.client.unstage(raw, f"{STAGING}-block")
    stack.controller.detach(raw, node)
    stack.controller.delete(raw)
    use.end()
