"""Hosts that lose power under the whole driver: the consumer's, freshly installed too, and the storage node's."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator

import grpc
import pytest

from tests.lab import GIB, MIB, Host, HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

STAGING, TARGET = "/var/lib/kubelet/staging/volume", "/var/lib/kubelet/pods/pod/volume"
CAPABILITY = mount("ext4")
DATA = hashlib.sha256(b"reboots").digest() * (8 * MIB // 32)
CONSUMER = "host3"


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec(CONSUMER)]) as lab:
        stack = Stack(lab=lab)
        stack.up()
        yield stack


class Volume:
    """A volume of host1, in use on host3 over iSCSI."""

    def __init__(self, stack: Stack, name: str) -> None:
        self.stack, self.consumer = stack, stack.lab.host(CONSUMER)
        self.id = stack.controller.create(name, GIB, CAPABILITY, near="host1").volume_id
        self.context = stack.controller.attach(self.id, CONSUMER, CAPABILITY)
        self.stage()
        self.publish()

    def stage(self) -> None:
        self.consumer.run(["mkdir", "-p", STAGING, TARGET.rsplit("/", 1)[0]])
        self.stack.node(CONSUMER).stage(self.id, self.context, STAGING, CAPABILITY)

    def publish(self) -> None:
        self.stack.node(CONSUMER).publish(self.id, self.context, STAGING, TARGET, CAPABILITY)

    def fill(self) -> None:
        """Data that a power cut must not take."""
        self.consumer.put("/tmp/data", DATA)
        self.consumer.run(["sh", "-c", f"cp /tmp/data {TARGET}/data && sync {TARGET}/data {TARGET}"])

    def digest(self, folder: str) -> str:
        return self.consumer.run(["sha256sum", f"{folder}/data"]).stdout.split()[0]

    def take_down(self) -> None:
        node = self.stack.node(CONSUMER)
        node.unpublish(self.id, TARGET)
        node.unstage(self.id, STAGING)
        self.stack.controller.detach(self.id, CONSUMER)
        self.stack.controller.delete(self.id)


@contextlib.contextmanager
def volume_in_use(stack: Stack, name: str) -> Iterator[Volume]:
    """Of a test that passes nothing may be left anywhere."""
    volume = Volume(stack, name)
    yield volume
    # A host that has just come back is heard by the controller a moment after it calls itself ready.
    eventually(lambda: stack.controller.capacity("host1") > 0, within=30)
    volume.take_down()
    with contextlib.suppress(AssertionError):
        # What a consumer could not be told at once it is told when it is heard again.
        eventually(lambda: stack.leftovers() == {}, within=30)
    assert stack.leftovers() == {}


def mounts(host: Host, path: str) -> int:
    return sum(line.split()[1] == path for line in host.get("/proc/mounts").decode().splitlines())


def sessions(host: Host) -> list[str]:
    """The state of each iSCSI session of a host."""
    return host.run(["sh", "-c", "cat /sys/class/iscsi_session/session*/state 2>/dev/null || true"]).stdout.split()


def secrets(storage: Host) -> list[str]:
    """The CHAP secrets in a storage node's journal."""
    names = storage.run(["find", "/var/lib/clinker/journal", "-type", "f"]).stdout.split()
    return [json.loads(storage.get(name))["secret"] for name in names]


def initiator_name(host: Host) -> bytes:
    return host.get("/etc/iscsi/initiatorname.iscsi")


def test_consumer_reboots_and_node_stage_alone_brings_the_volume_back(stack: Stack) -> None:
    with volume_in_use(stack, "consumer-reboots") as volume:
        volume.fill()
        [secret] = secrets(stack.lab.host("host1"))
        stack.reboot(volume.consumer)
        stack.await_ready()
        assert (mounts(volume.consumer, STAGING), sessions(volume.consumer)) == (0, [])

        volume.stage()

        assert mounts(volume.consumer, STAGING) == 1
        assert sessions(volume.consumer) == ["LOGGED_IN"]
        assert volume.digest(STAGING) == hashlib.sha256(DATA).hexdigest()
        assert secrets(stack.lab.host("host1")) == [secret], "the secret on the consumer's own disk was still good"
        volume.publish()
        assert volume.digest(TARGET) == hashlib.sha256(DATA).hexdigest()


def test_consumer_installed_anew_gets_a_new_secret(stack: Stack) -> None:
    with volume_in_use(stack, "consumer-anew") as volume:
        volume.fill()
        [before] = secrets(stack.lab.host("host1"))
        name = initiator_name(volume.consumer)
        stack.reboot(volume.consumer, reimage=True)
        stack.await_ready()
        assert initiator_name(volume.consumer) == name, "the lab gives a host the same name again"

        with pytest.raises(grpc.RpcError) as refused:
            volume.stage()
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "secret" in str(refused.value.details())
        assert mounts(volume.consumer, STAGING) == 0

        said: list[grpc.StatusCode] = []
        eventually(lambda: staged(volume, said), within=60)
        assert set(said) <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED}
        assert volume.digest(STAGING) == hashlib.sha256(DATA).hexdigest()
        [after] = secrets(stack.lab.host("host1"))
        assert after != before
        volume.publish()


def staged(volume: Volume, said: list[grpc.StatusCode]) -> bool:
    """One more try, as kubelet makes them; the code of one that fails is added to ``said``."""
    try:
        volume.stage()
    except grpc.RpcError as error:
        said.append(error.code())
        return False
    return True


def test_storage_node_reboots_under_an_iscsi_consumer(stack: Stack) -> None:
    storage = stack.lab.host("host1")
    with volume_in_use(stack, "storage-reboots") as volume:
        [before] = secrets(storage)
        writer = Writer.start(volume.consumer, f"{TARGET}/records", name="reboot-writer")
        writer.await_more(20, seconds=60)

        stack.reboot(storage)

        writer.await_more(20, seconds=120)
        eventually(lambda: sessions(volume.consumer) == ["LOGGED_IN"])
        stack.await_ready()
        writer.stop()
        assert writer.error() == ""
        assert secrets(storage) == [before]
        good, bad = verify(volume.consumer, f"{TARGET}/records")
        assert set(writer.safe()) <= good
        assert not bad
