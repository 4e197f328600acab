"""What the whole driver refuses, on real hosts: a stranger, a wrong disk, and any word on a node that is silent."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from csi_driver.model.ids import VolumeId
from csi_driver.rpc.gen import csi_pb2 as csi
from tests.lab import GIB, MIB, Host, HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import NOT_FINAL, mount
from tests.stack.stack import AGENT_PORT, PORTAL_PORT, THIN_POOL, VG, Stack

STAGING = "/var/lib/kubelet/staging/volume"
CAPABILITY = mount("ext4")
SIZE = 256 * MIB
CONSUMER = "host3"
DENIED = 24
"""iscsiadm(8), "EXIT STATUS": the target refuses the login."""
LIO = "/sys/kernel/config/target"
PYTHON_PATH = {"PYTHONPATH": "/opt/clinker/src:/opt/clinker/site-packages"}
ASK_AGENT = """
import asyncio, sys
from pathlib import Path
from csi_driver.errors import DriverError
from csi_driver.model.ids import VolumeId
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.settings import TlsSettings

async def main(node, address, me, verb, volume):
    folder = Path("/etc/clinker") / me
    tls = TlsSettings(ca=folder / "ca.crt", certificate=folder / f"{me}.crt", key=folder / f"{me}.key")
    client = AgentClient(node, address, tls)
    try:
        if verb == "describe":
            print("answer", (await client.describe()).node)
        else:
            print("answer", await client.delete(VolumeId.parse(volume)))
    except DriverError as error:
        print("refused", error.kind.value, error)
    finally:
        await client.close()

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    with Lab([HostSpec("host1", (4 * GIB,)), HostSpec("host2", (4 * GIB,)), HostSpec(CONSUMER)]) as lab:
        stack = Stack(lab=lab)
        stack.up()
        yield stack


def create(stack: Stack, name: str) -> VolumeId:
    """A volume on host1."""
    volume = VolumeId.parse(stack.controller.create(name, SIZE, CAPABILITY, near="host1").volume_id)
    assert volume is not None
    return volume


def clear(stack: Stack, volume: VolumeId) -> None:
    """Of a test that passes nothing may be left anywhere."""
    stack.controller.detach(str(volume), CONSUMER)
    stack.controller.delete(str(volume))
    assert stack.leftovers() == {}


def volumes_of(host: Host) -> list[str]:
    return host.run(["lvs", "--noheadings", "-o", "lv_name", VG]).stdout.split()


def session_count(host: Host) -> int:
    return int(host.run(["sh", "-c", "ls /sys/class/iscsi_session 2>/dev/null | wc -l"]).stdout)


def shell(host: Host, *lines: str) -> str:
    return host.run(["sh", "-e", "-c", "\n".join(lines)]).stdout


# -- certificates


def ask_agent(host: Host, who: str, verb: str, volume: VolumeId) -> str:
    """What host1's agent answers to one who shows the certificate of ``who``, which lies on ``host``."""
    program = "/tmp/ask-agent.py"
    host.put(program, ASK_AGENT)
    argv = ["python3", program, "host1", f"10.77.0.1:{AGENT_PORT}", who, verb, str(volume)]
    return host.run(argv, env=PYTHON_PATH).stdout.strip()


def test_agent_obeys_no_node_certificate(stack: Stack) -> None:
    volume, storage, neighbour = create(stack, "certificates"), stack.lab.host("host1"), stack.lab.host("host2")
    for verb in ("describe", "delete"):
        # A node's certificate is none of a TLS client: the connection ends in the handshake.
        refused = ask_agent(neighbour, "host2", verb, volume)
        assert refused.startswith(("refused unavailable", "refused denied"))
        assert str(volume) in volumes_of(storage)
    # From the same host, so that it was the certificate that was refused.
    folder = "/etc/clinker/controller"
    for file in ("ca.crt", "controller.crt", "controller.key"):
        neighbour.put(f"{folder}/{file}", stack.controller_host.get(f"{folder}/{file}"), mode=0o600)
    assert ask_agent(neighbour, "controller", "describe", volume) == "answer host1"
    assert ask_agent(neighbour, "controller", "delete", volume) == "answer None"
    assert str(volume) not in volumes_of(storage)
    neighbour.run(["rm", "-r", folder])
    clear(stack, volume)


# -- iSCSI login


def log_in(host: Host, iqn: str, user: str, password: str) -> int:
    """The exit status of a login by hand, whose record and session are gone afterwards."""
    node = ["iscsiadm", "-m", "node", "-T", iqn, "-p", f"10.77.0.1:{PORTAL_PORT}"]
    settings = {"authmethod": "CHAP", "username": user, "password": password}
    host.run([*node, "-o", "new"])
    try:
        for name, value in settings.items():
            host.run([*node, "-o", "update", "-n", f"node.session.auth.{name}", "-v", value])
        status = host.run([*node, "--login"], check=False).rc
        assert session_count(host) == (1 if status == 0 else 0)
        if status == 0:
            host.run([*node, "--logout"])
        return status
    finally:
        host.run([*node, "-o", "delete"])


def test_login_needs_the_secret_and_the_initiator_name(stack: Stack) -> None:
    volume, storage = create(stack, "login"), stack.lab.host("host1")
    stack.controller.attach(str(volume), CONSUMER, CAPABILITY)
    [file] = storage.run(["find", "/var/lib/clinker/journal", "-type", "f"]).stdout.split()
    entry = json.loads(storage.get(file))
    user, secret = entry["chap_user"], entry["secret"]

    consumer, stranger = stack.lab.host(CONSUMER), stack.lab.host("host2")
    assert log_in(consumer, volume.iqn, user, "0" * len(secret)) == DENIED
    assert log_in(consumer, volume.iqn, "nobody", secret) == DENIED
    assert log_in(stranger, volume.iqn, user, secret) == DENIED
    assert log_in(consumer, volume.iqn, user, secret) == 0
    clear(stack, volume)


# -- the identity of a disk


class OtherDisk:
    """A file system of somebody else on host1, which the volume's target can be made to show."""

    def __init__(self, host: Host, volume: VolumeId) -> None:
        self.host, self.device = host, f"/dev/mapper/{VG}-other"
        self.group = f"{LIO}/iscsi/{volume.iqn}/tpgt_1"
        self.own = shell(host, f"readlink -f {self.group}/lun/lun_0/backstore").strip()
        # Above the numbers that the driver gives, which have 28 bits.
        self.adapter = f"{LIO}/core/fileio_300000000"
        shell(
            host,
            f"lvcreate --yes -V {SIZE}b --thinpool {THIN_POOL} -n other {VG}",
            f"mkfs.ext4 -q {self.device}",
            f"mkdir -p {self.adapter}/other",
            f"echo -n fd_dev_name={self.device} > {self.adapter}/other/control",
            f"echo {'f' * 32} > {self.adapter}/other/wwn/vpd_unit_serial",
            f"echo 1 > {self.adapter}/other/enable",
        )

    def digest(self) -> str:
        return shell(self.host, f"sync {self.device}", f"sha256sum {self.device}").split()[0]

    def show(self, backstore: str) -> None:
        """Let LUN 0 of the target lead there, writable for the initiator."""
        shell(
            self.host,
            f"cd {self.group}",
            "echo 0 > enable",
            "rm acls/*/lun_0/lun lun/lun_0/backstore",
            f"ln -s {backstore} lun/lun_0/backstore",
            f"for acl in {self.group}/acls/*; do ln -s {self.group}/lun/lun_0 $acl/lun_0/lun; done",
            "echo 0 | tee acls/*/lun_0/write_protect",
            "echo 1 > enable",
        )

    def remove(self) -> None:
        shell(self.host, f"rmdir {self.adapter}/other {self.adapter}", f"lvremove --yes {VG}/other")


def test_disk_that_is_not_the_volume_is_never_mounted(stack: Stack) -> None:
    volume, consumer = create(stack, "identity"), stack.lab.host(CONSUMER)
    node = stack.node(CONSUMER)
    context = stack.controller.attach(str(volume), CONSUMER, CAPABILITY)
    consumer.run(["mkdir", "-p", STAGING])
    other = OtherDisk(stack.lab.host("host1"), volume)
    before = other.digest()
    other.show(f"{other.adapter}/other")

    with pytest.raises(grpc.RpcError) as refused:
        node.stage(str(volume), context, STAGING, CAPABILITY)

    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert f"is not the volume: its serial is '{'f' * 32}'" in str(refused.value.details())
    assert "staging" not in consumer.get("/proc/mounts").decode()
    assert session_count(consumer) == 0
    assert other.digest() == before

    other.show(other.own)
    other.remove()
    node.stage(str(volume), context, STAGING, CAPABILITY)
    assert STAGING in consumer.get("/proc/mounts").decode()
    node.unstage(str(volume), STAGING)
    clear(stack, volume)


@pytest.mark.parametrize("name", ["host1", CONSUMER])
def test_device_that_lost_its_end_is_never_mounted(stack: Stack, name: str) -> None:
    """Locally and over iSCSI: it has the name, the uuid, the serial; and less than what was published."""
    volume, host, storage = create(stack, f"truncated-{name}"), stack.lab.host(name), stack.lab.host("host1")
    context = stack.controller.attach(str(volume), name, CAPABILITY)
    assert context["size"] == str(SIZE)
    host.run(["mkdir", "-p", STAGING])
    whole = shell(storage, f"dmsetup table {volume}").strip()
    swap = f"dmsetup suspend --noflush {volume} && dmsetup resume --noudevsync {volume}"
    shell(storage, f"echo '{whole.replace(str(SIZE // 512), str(SIZE // 1024))}' | dmsetup load {volume}", swap)

    with pytest.raises(grpc.RpcError) as refused:
        stack.node(name).stage(str(volume), context, STAGING, CAPABILITY)

    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "is not the volume: it has 128 MiB, at least 256 MiB are known of" in str(refused.value.details())
    assert "staging" not in host.get("/proc/mounts").decode()
    assert session_count(host) == 0

    shell(storage, f"echo '{whole}' | dmsetup load {volume}", swap)
    stack.node(name).stage(str(volume), context, STAGING, CAPABILITY)
    assert STAGING in host.get("/proc/mounts").decode()
    stack.node(name).unstage(str(volume), STAGING)
    stack.controller.detach(str(volume), name)
    stack.controller.delete(str(volume))
    assert stack.leftovers() == {}


# -- silence


def code_of(call: Callable[[], object]) -> grpc.StatusCode:
    try:
        call()
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def get_volume(stack: Stack, volume: VolumeId) -> str:
    request = csi.ControllerGetVolumeRequest(volume_id=str(volume))
    answer = stack.controller.call(
        "Controller/ControllerGetVolume", request, csi.ControllerGetVolumeResponse, timeout=20
    )
    return answer.volume.volume_id


def test_silent_storage_node_is_unknown_not_absent(stack: Stack) -> None:
    controller, storage = stack.controller, stack.lab.host("host1")
    volume = create(stack, "silent")
    name, room = str(volume), controller.capacity("host1")
    assert room > 0
    calls: dict[str, Callable[[], object]] = {
        "Publish": lambda: controller.attach(name, CONSUMER, CAPABILITY, timeout=20),
        "Unpublish": lambda: controller.detach(name, CONSUMER, timeout=20),
        "Expand": lambda: controller.expand(name, 2 * SIZE),
        "Get": lambda: get_volume(stack, volume),
        "Delete": lambda: controller.delete(name, timeout=20),
    }
    storage.freeze()
    try:
        eventually(lambda: controller.capacity("host1") == 0, within=90)
        codes = {verb: code_of(call) for verb, call in calls.items()}
        listed = controller.volumes()
        elsewhere = controller.create("not-on-host1", SIZE, CAPABILITY, near="host1", timeout=60).volume_id
    finally:
        storage.thaw()

    assert codes == dict.fromkeys(calls, grpc.StatusCode.UNAVAILABLE)
    assert name in listed
    assert elsewhere in volumes_of(stack.lab.host("host2"))
    assert name in volumes_of(storage)
    eventually(lambda: controller.capacity("host1") > 0, within=60)
    assert {verb: code_of(call) for verb, call in calls.items()} == dict.fromkeys(calls, grpc.StatusCode.OK)
    assert name not in volumes_of(storage)
    controller.delete(elsewhere)
    assert stack.leftovers() == {}


# -- deadlines


def lvm_shells(host: Host) -> list[str]:
    """Process ids of programs named ``lvm``."""
    found = host.run(["sh", "-c", "grep -lx lvm /proc/[0-9]*/comm 2>/dev/null || true"]).stdout.split()
    return [path.split("/")[2] for path in found]


def try_to_create(stack: Stack, name: str, timeout: float) -> tuple[grpc.StatusCode, str]:
    """The code of one CreateVolume, with the volume's id or what was wrong."""
    try:
        return grpc.StatusCode.OK, stack.controller.create(
            name, SIZE, CAPABILITY, near="host1", timeout=timeout
        ).volume_id
    except grpc.RpcError as error:
        return error.code(), str(error.details())


def create_patiently(stack: Stack, name: str) -> str:
    """As external-provisioner: the same call again after a code that is not final."""
    until = time.monotonic() + 60
    while True:
        code, said = try_to_create(stack, name, 30)
        if code is grpc.StatusCode.OK:
            return said
        assert code in NOT_FINAL, said
        assert time.monotonic() < until, said
        time.sleep(0.1)


def seconds_to_create(stack: Stack, name: str) -> float:
    began = time.monotonic()
    volume = create(stack, name)
    seconds = time.monotonic() - began
    stack.controller.delete(str(volume))
    return seconds


def volumes_of_ours(host: Host) -> list[str]:
    return [name for name in volumes_of(host) if name.startswith("vol-")]


def test_retry_joins_an_rpc_whose_deadline_passed(stack: Stack) -> None:
    storage = stack.lab.host("host1")
    whole = min(seconds_to_create(stack, f"measured-{number}") for number in range(3))
    shells = lvm_shells(storage)
    assert len(shells) == 1

    cut_short = 0
    # At several points of the way: while the name is looked for, in lvcreate, in mkfs.
    for number, part in enumerate((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)):
        name = f"deadline-{number}"
        code, said = try_to_create(stack, name, part * whole)
        assert code in {grpc.StatusCode.OK, *NOT_FINAL}, said
        cut_short += code is not grpc.StatusCode.OK
        volume = create_patiently(stack, name)
        assert volumes_of_ours(storage) == [volume]
        assert volumes_of_ours(stack.lab.host("host2")) == []
        stack.controller.delete(volume)
    assert cut_short >= 2
    assert lvm_shells(storage) == shells
    assert stack.leftovers() == {}
