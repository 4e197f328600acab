"""Whom and what the driver refuses on real hosts: strangers without a certificate of ours or without the secret, and
devices that are not the volume; and mkfs, which no consumer ever calls.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from csi_driver.model.ids import VolumeId
from tests.lab import MIB, Host
from tests.stack.agents import call_agent
from tests.stack.csi import mount
from tests.stack.stack import PORTAL_PORT, REPOSITORY, THIN_POOL, VG, Stack

SIZE = 320 * MIB
STAGING = "/var/lib/kubelet/refusals/staging"
CONSUMER = "host3"
FOREIGN = "/root/foreign"
MKFS = ("mkfs.ext4", "mkfs.xfs", "mke2fs", "mkfs.ext3", "mkfs.ext2")
MKFS_LOG = "/var/log/mkfs-calls"
DENIED = 24
"""iscsiadm(8), "EXIT STATUS": the target refuses the login."""
LIO = "/sys/kernel/config/target"


def new_volume(stack: Stack, name: str, fs: str = "ext4") -> VolumeId:
    volume = VolumeId.parse(stack.controller.create(name, SIZE, mount(fs), near="host1").volume_id)
    assert volume is not None
    return volume


def clear(stack: Stack, volume: VolumeId, node: str) -> None:
    """Of a test that passes nothing may be left anywhere."""
    stack.controller.detach(str(volume), node)
    stack.controller.delete(str(volume))
    assert stack.leftovers() == {}


def session_count(host: Host) -> int:
    return int(host.run(["sh", "-c", "ls /sys/class/iscsi_session 2>/dev/null | wc -l"]).stdout)


def shell(host: Host, *lines: str) -> str:
    return host.run(["sh", "-e", "-c", "\n".join(lines)]).stdout


def volumes_of(host: Host) -> str:
    return host.run(["lvs", "--noheadings", "-o", "lv_name,lv_tags", VG]).stdout


# -- certificates


@pytest.fixture(scope="module")
def foreign(stack: Stack) -> str:
    """A controller's certificate of a CA of somebody else, on the controller's host."""
    folder = stack.lab.folder / "foreign"
    for words in (["ca"], ["issue", "--role", "controller", "--name", "controller"]):
        argv = [sys.executable, "-m", "csi_driver", "pki", words[0], "--folder", str(folder), *words[1:]]
        subprocess.run(argv, cwd=REPOSITORY, check=True, capture_output=True)
    for file in ("controller.crt", "controller.key"):
        stack.controller_host.put(f"{FOREIGN}/{file}", (folder / file).read_bytes(), mode=0o600)
    return f"{FOREIGN}/controller"


def test_agent_answers_nobody_without_a_certificate_of_its_ca(stack: Stack, foreign: str) -> None:
    volume, caller, agent = new_volume(stack, "strangers"), stack.controller_host, stack.lab.host("host1")
    assert call_agent(caller, agent, "describe") == "answer host1"
    for stranger in ("-", "plain"):
        assert call_agent(caller, agent, "describe", me=stranger).startswith("refused UNAVAILABLE"), stranger
    answers = call_agent(caller, agent, "describe,delete", str(volume), me=foreign).splitlines()
    assert [answer.split()[:2] for answer in answers] == [["refused", "unavailable"]] * 2, answers
    assert str(volume) in volumes_of(agent)
    stack.controller.delete(str(volume))


def test_no_node_certificate_opens_any_agent(stack: Stack) -> None:
    volume = new_volume(stack, "node-certificates")
    agent = stack.lab.host("host1")
    for thief in stack.lab.hosts:
        me = {"me": f"/etc/clinker/{thief.name}/{thief.name}", "ca": f"/etc/clinker/{thief.name}/ca.crt"}
        answers = call_agent(thief, agent, "describe,get,delete", str(volume), **me).splitlines()
        assert len(answers) == 3, answers
        for answer in answers:
            # In the handshake, as it is a server's certificate only, or by the role that it does not have.
            assert answer.startswith(("refused denied", "refused unavailable")), (thief, answers)
    assert call_agent(stack.controller_host, agent, "get", str(volume)) == f"answer {SIZE}"
    stack.controller.delete(str(volume))


def test_controller_takes_no_agent_for_another(stack: Stack) -> None:
    """Whoever answers at a node's address must hold the key of that very node."""
    answer = call_agent(stack.controller_host, stack.lab.host("host2"), "describe", node="host1")
    assert answer.startswith("refused unavailable"), answer


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
    volume, storage = new_volume(stack, "login"), stack.lab.host("host1")
    stack.controller.attach(str(volume), CONSUMER, mount())
    [file] = storage.run(["find", "/var/lib/clinker/journal", "-type", "f"]).stdout.split()
    entry = json.loads(storage.get(file))
    user, secret = entry["chap_user"], entry["secret"]

    consumer, stranger = stack.lab.host(CONSUMER), stack.lab.host("host2")
    assert log_in(consumer, volume.iqn, user, "0" * len(secret)) == DENIED
    assert log_in(consumer, volume.iqn, "nobody", secret) == DENIED
    assert log_in(stranger, volume.iqn, user, secret) == DENIED
    assert log_in(consumer, volume.iqn, user, secret) == 0
    clear(stack, volume, CONSUMER)


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
    volume, consumer = new_volume(stack, "identity"), stack.lab.host(CONSUMER)
    node = stack.node(CONSUMER)
    context = stack.controller.attach(str(volume), CONSUMER, mount())
    consumer.run(["mkdir", "-p", STAGING])
    other = OtherDisk(stack.lab.host("host1"), volume)
    before = other.digest()
    other.show(f"{other.adapter}/other")

    with pytest.raises(grpc.RpcError) as refused:
        node.stage(str(volume), context, STAGING, mount())

    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert f"is not the volume: its serial is '{'f' * 32}'" in str(refused.value.details())
    assert "staging" not in consumer.get("/proc/mounts").decode()
    assert session_count(consumer) == 0
    assert other.digest() == before

    other.show(other.own)
    other.remove()
    node.stage(str(volume), context, STAGING, mount())
    assert STAGING in consumer.get("/proc/mounts").decode()
    node.unstage(str(volume), STAGING)
    clear(stack, volume, CONSUMER)


@pytest.mark.parametrize("name", ["host1", CONSUMER])
def test_device_that_lost_its_end_is_never_mounted(stack: Stack, name: str) -> None:
    """Locally and over iSCSI: it has the name, the uuid, the serial; and less than what was published."""
    volume, host, storage = new_volume(stack, f"truncated-{name}"), stack.lab.host(name), stack.lab.host("host1")
    context = stack.controller.attach(str(volume), name, mount())
    assert context["size"] == str(SIZE)
    host.run(["mkdir", "-p", STAGING])
    whole = shell(storage, f"dmsetup table {volume}").strip()
    swap = f"dmsetup suspend --noflush {volume} && dmsetup resume --noudevsync {volume}"
    shell(storage, f"echo '{whole.replace(str(SIZE // 512), str(SIZE // 1024))}' | dmsetup load {volume}", swap)

    with pytest.raises(grpc.RpcError) as refused:
        stack.node(name).stage(str(volume), context, STAGING, mount())

    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "is not the volume: it has 160 MiB, at least 320 MiB are known of" in str(refused.value.details())
    assert "staging" not in host.get("/proc/mounts").decode()
    assert session_count(host) == 0

    shell(storage, f"echo '{whole}' | dmsetup load {volume}", swap)
    stack.node(name).stage(str(volume), context, STAGING, mount())
    assert STAGING in host.get("/proc/mounts").decode()
    stack.node(name).unstage(str(volume), STAGING)
    clear(stack, volume, name)


# -- a local device that is not the volume


def test_local_device_that_is_not_of_the_volume_is_not_mounted(stack: Stack) -> None:
    """Somebody's device has the volume's dm name, and holds a file system, but not its uuid."""
    host, volume = stack.lab.host("host1"), new_volume(stack, "local-identity")
    context = stack.controller.attach(str(volume), "host1", mount())
    host.run(["mkdir", "-p", STAGING])
    other = f"/dev/{VG}/other"
    script = (
        f"lvcreate --yes -L 64m -n other {VG} && mkfs.ext4 -q {other} && dmsetup remove {volume} && "
        f"echo 0 131072 linear {other} 0 | dmsetup create {volume} --uuid CLINKER-other-1"
    )
    host.run(["sh", "-e", "-c", script])
    before = host.run(["sha256sum", other]).stdout

    with pytest.raises(grpc.RpcError) as refused:
        stack.node("host1").stage(str(volume), context, STAGING, mount())

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert STAGING not in host.get("/proc/mounts").decode()
    host.run(["sh", "-c", f"dmsetup remove {volume}"])
    assert host.run(["sha256sum", other]).stdout == before
    host.run(["lvremove", "--yes", f"{VG}/other"])

    context = stack.controller.attach(str(volume), "host1", mount())
    stack.node("host1").stage(str(volume), context, STAGING, mount())
    stack.node("host1").unstage(str(volume), STAGING)
    clear(stack, volume, "host1")


# -- mkfs


@pytest.fixture
def mkfs_calls(stack: Stack) -> Iterator[None]:
    """Every call of a program that makes a file system is written down on its host, see ``calls_of``."""
    for host in stack.lab.hosts:
        _wrap_mkfs(host)
    yield
    for host in stack.lab.hosts:
        for name in MKFS:
            host.run(["sh", "-c", f"! test -e /usr/sbin/{name}.real || mv -f /usr/sbin/{name}.real /usr/sbin/{name}"])


def _wrap_mkfs(host: Host) -> None:
    """A link stays the name by which the program knows what it is to do."""
    script = [f": > {MKFS_LOG}"]
    for name in MKFS:
        path = f"/usr/sbin/{name}"
        script.append(
            f"if test -e {path}; then cp -aL {path} {path}.copy; mv {path} {path}.real; "
            f'printf \'#!/bin/bash\\necho {name} "$@" >> {MKFS_LOG}\\nexec -a {name} {path}.copy "$@"\\n\' > {path}; '
            f"chmod 755 {path}; fi"
        )
    host.run(["bash", "-e", "-c", "\n".join(script)])


def calls_of(host: Host) -> list[str]:
    return host.get(MKFS_LOG).decode().splitlines()


@pytest.mark.usefixtures("mkfs_calls")
@pytest.mark.parametrize("fs", ["ext4", "xfs"])
def test_mkfs_runs_once_on_the_storage_node_and_never_on_a_consumer(stack: Stack, fs: str) -> None:
    storage, consumer = stack.lab.host("host1"), stack.lab.host(CONSUMER)
    volume = new_volume(stack, f"mkfs-{fs}", fs)
    assert [call.split()[0] for call in calls_of(storage)] == [f"mkfs.{fs}"]
    consumer.run([f"mkfs.{fs}", "-V"])
    assert len(calls_of(consumer)) == 1, "a call on the consumer would be seen"
    consumer.run(["mkdir", "-p", STAGING])
    for node in ("host1", CONSUMER):
        stack.lab.host(node).run(["mkdir", "-p", STAGING])
        context = stack.controller.attach(str(volume), node, mount(fs))
        stack.node(node).stage(str(volume), context, STAGING, mount(fs))
        stack.node(node).unstage(str(volume), STAGING)
        stack.controller.detach(str(volume), node)

    # A volume that looks blank to blkid, as one does whose reads fail or whose head was lost.
    storage.run(["sh", "-c", f"lvchange -ay -K {VG}/{volume} && dd if=/dev/zero of=/dev/{VG}/{volume} bs=1M count=8"])
    digest = f"dd if=/dev/{VG}/{volume} iflag=direct bs=1M 2>/dev/null | sha256sum"
    before = storage.run(["sh", "-c", digest]).stdout
    for node in ("host1", CONSUMER):
        context = stack.controller.attach(str(volume), node, mount(fs))
        with pytest.raises(grpc.RpcError) as refused:
            stack.node(node).stage(str(volume), context, STAGING, mount(fs))
        assert "cannot mount" in str(refused.value.details())
        assert STAGING not in stack.lab.host(node).get("/proc/mounts").decode()
        stack.node(node).unstage(str(volume), STAGING)
        stack.controller.detach(str(volume), node)
    assert storage.run(["sh", "-c", digest]).stdout == before, "nobody has written to it"
    assert len(calls_of(storage)) == 1
    assert len(calls_of(consumer)) == 1
    stack.controller.delete(str(volume))
    assert stack.leftovers() == {}
