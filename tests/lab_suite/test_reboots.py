"""Hosts that lose power under the whole driver: the consumer's, freshly installed too, the storage node's, both at
once; and processes that are killed and started again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json

import grpc
import pytest

from tests.lab import MIB, Host
from tests.lab.waiting import eventually
from tests.stack.csi import Csi, block, mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

SIZE = 256 * MIB
FOLDER = "/var/lib/kubelet/reboots"
STORAGE, CONSUMER = "host1", "host3"
DATA = hashlib.sha256(b"reboots").digest() * (8 * MIB // 32)
DIGEST = hashlib.sha256(DATA).hexdigest()


class Use:
    """A volume of host1, mounted on ``node`` or there as a device."""

    def __init__(self, stack: Stack, name: str, node: str, *, fs: str = "ext4") -> None:
        self.stack, self.node, self.host = stack, node, stack.lab.host(node)
        self.capability = mount(fs) if fs else block()
        self.staging, self.target = f"{FOLDER}/{name}/staging", f"{FOLDER}/{name}/target"
        self.id = stack.controller.create(name, SIZE, self.capability, near=STORAGE).volume_id
        self.context = stack.controller.attach(self.id, node, self.capability)
        self.stage()
        self.publish()

    @property
    def client(self) -> Csi:
        return self.stack.node(self.node)

    def stage(self) -> None:
        self.host.run(["mkdir", "-p", self.staging])
        self.client.stage(self.id, self.context, self.staging, self.capability)

    def publish(self) -> None:
        self.client.publish(self.id, self.context, self.staging, self.target, self.capability)

    def fill(self) -> None:
        """Data that a power cut must not take."""
        self.host.put("/tmp/data", DATA)
        self.host.run(["sh", "-c", f"cp /tmp/data {self.target}/data && sync {self.target}/data {self.target}"])

    def digest(self, folder: str) -> str:
        return self.host.run(["sha256sum", f"{folder}/data"]).stdout.split()[0]

    def write(self) -> Writer:
        """A writer at work."""
        writer = Writer.start(self.host, f"{self.target}/records", name=f"reboots-{self.node}")
        writer.await_more(5, seconds=60)
        return writer

    def check(self, writer: Writer) -> None:
        """It saw no error, and all that it was told to be safe is there."""
        writer.await_more(5, seconds=120)
        writer.stop()
        assert writer.error() == ""
        good, bad = verify(self.host, f"{self.target}/records")
        assert set(writer.safe()) <= good
        assert not bad

    def end(self, *, within: float = 0.0) -> None:
        """Of a test that passes nothing may be left anywhere. ``within`` seconds: what a consumer that was away could
        not be told at once it is told when it is heard again.
        """
        self.client.unpublish(self.id, self.target)
        self.client.unstage(self.id, self.staging)
        self.stack.controller.detach(self.id, self.node)
        self.stack.controller.delete(self.id)
        with contextlib.suppress(AssertionError):
            eventually(lambda: self.id not in str(self.stack.leftovers()), within=within)
        assert self.id not in str(self.stack.leftovers())


def mounts(host: Host, path: str) -> int:
    return sum(line.split()[1] == path for line in host.get("/proc/mounts").decode().splitlines())


def sessions(host: Host) -> list[str]:
    """The state of each iSCSI session of a host."""
    return host.run(["sh", "-c", "cat /sys/class/iscsi_session/session*/state 2>/dev/null || true"]).stdout.split()


def secrets(stack: Stack) -> list[str]:
    """The CHAP secrets in the storage node's journal."""
    storage = stack.lab.host(STORAGE)
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


def test_consumer_reboots_and_node_stage_alone_brings_the_volume_back(stack: Stack) -> None:
    use = Use(stack, "consumer-reboots", CONSUMER)
    use.fill()
    [secret] = secrets(stack)
    stack.reboot(use.host)
    stack.await_ready()
    assert (mounts(use.host, use.staging), sessions(use.host)) == (0, [])

    use.stage()

    assert mounts(use.host, use.staging) == 1
    assert sessions(use.host) == ["LOGGED_IN"]
    assert use.digest(use.staging) == DIGEST
    assert secrets(stack) == [secret], "the secret on the consumer's own disk was still good"
    use.publish()
    assert use.digest(use.target) == DIGEST
    use.end(within=30)
    assert stack.leftovers() == {}


def test_consumer_installed_anew_gets_a_new_secret(stack: Stack) -> None:
    use = Use(stack, "consumer-anew", CONSUMER)
    use.fill()
    [before] = secrets(stack)
    name = use.host.get("/etc/iscsi/initiatorname.iscsi")
    stack.reboot(use.host, reimage=True)
    stack.await_ready()
    assert use.host.get("/etc/iscsi/initiatorname.iscsi") == name, "the lab gives a host the same name again"

    with pytest.raises(grpc.RpcError) as refused:
        use.stage()
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "secret" in str(refused.value.details())
    assert mounts(use.host, use.staging) == 0

    said: list[grpc.StatusCode] = []
    eventually(lambda: staged(use, said), within=60)
    assert set(said) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}
    assert use.digest(use.staging) == DIGEST
    [after] = secrets(stack)
    assert after != before
    use.publish()
    use.end(within=30)
    assert stack.leftovers() == {}


def staged(use: Use, said: list[grpc.StatusCode]) -> bool:
    """One more try, as kubelet makes them; the code of one that fails is added to ``said``."""
    try:
        use.stage()
    except grpc.RpcError as error:
        said.append(error.code())
        return False
    return True


def test_storage_node_reboots_under_an_iscsi_consumer_and_under_itself(stack: Stack) -> None:
    local, remote = Use(stack, "own", STORAGE), Use(stack, "others", CONSUMER)
    local.fill()
    before = secrets(stack)
    writer = remote.write()
    writer.await_more(20, seconds=60)

    stack.reboot(local.host)

    writer.await_more(20, seconds=120)
    eventually(lambda: sessions(remote.host) == ["LOGGED_IN"])
    stack.await_ready()
    remote.check(writer)
    assert secrets(stack) == before
    assert mounts(local.host, local.target) == 0
    local.stage()  # with the old publication: the wrapper is there again, under its number
    local.publish()
    assert local.digest(local.target) == DIGEST
    local.end()
    remote.end(within=30)
    assert stack.leftovers() == {}


def test_both_ends_lose_power_at_once(stack: Stack) -> None:
    use = Use(stack, "both-ends", CONSUMER)
    use.fill()
    before = secrets(stack)
    use.host.crash()
    stack.reboot(stack.lab.host(STORAGE))
    use.host.boot()
    for name in (CONSUMER, "controller"):
        stack.processes.pop(name)
    stack.start()
    stack.await_ready()

    use.stage()
    use.publish()

    assert use.digest(use.target) == DIGEST
    assert secrets(stack) == before
    use.end()
    assert stack.leftovers() == {}


def test_processes_restart_and_nothing_changes(stack: Stack) -> None:
    """A volume with a file system and a block volume on either path."""
    uses = [Use(stack, f"restart-{node}", node) for node in (STORAGE, CONSUMER)]
    raws = [Use(stack, f"restart-block-{node}", node, fs="") for node in (STORAGE, CONSUMER)]
    writers = [use.write() for use in uses]
    ends = [use.host for use in uses]
    before = [kernel_state(host) for host in ends], secrets(stack)
    for raw, state in zip(raws, before[0], strict=True):
        assert raw.target in state

    for names in ([STORAGE], [CONSUMER], ["controller"], None):
        stack.kill(names)
        for writer in writers:
            writer.await_more(5, seconds=60)
        stack.start()
        stack.await_ready()
        assert ([kernel_state(host) for host in ends], secrets(stack)) == before

    listed = stack.controller.volumes()
    for use, writer in zip(uses, writers, strict=True):
        use.stage()
        use.publish()
        use.check(writer)
    for each in (*uses, *raws):
        assert listed[each.id] == [each.node]
        each.end()
    assert stack.leftovers() == {}
