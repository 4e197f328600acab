"""Strangers without a certificate of ours, local devices that are not the volume, disks that fail while a volume is
made, and mkfs, which no consumer ever calls. Secrets, initiator names and disks: see ``test_stack_refusals``.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import grpc
import pytest

from csi_driver.model.ids import VolumeId, volume_key
from tests.lab import MIB, Host
from tests.stack.agents import call_agent
from tests.stack.controllers import await_heard
from tests.stack.csi import mount
from tests.stack.stack import REPOSITORY, VG, Stack

SIZE = 320 * MIB
STAGING = "/var/lib/kubelet/refusals/staging"
CONSUMER = "host3"
FOREIGN = "/root/foreign"
MKFS = ("mkfs.ext4", "mkfs.xfs", "mke2fs", "mkfs.ext3", "mkfs.ext2")
MKFS_LOG = "/var/log/mkfs-calls"


def new_volume(stack: Stack, name: str, fs: str = "ext4") -> VolumeId:
    volume = VolumeId.parse(stack.controller.create(name, SIZE, mount(fs), near="host1").volume_id)
    assert volume is not None
    return volume


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
    for verb in ("describe", "delete"):
        assert call_agent(caller, agent, verb, str(volume), me=foreign).startswith("refused unavailable"), verb
    assert str(volume) in volumes_of(agent)
    stack.controller.delete(str(volume))


def test_no_node_certificate_opens_any_agent(stack: Stack) -> None:
    volume = new_volume(stack, "node-certificates")
    agent = stack.lab.host("host1")
    for thief in stack.lab.hosts:
        me = {"me": f"/etc/clinker/{thief.name}/{thief.name}", "ca": f"/etc/clinker/{thief.name}/ca.crt"}
        for verb in ("describe", "get", "delete"):
            answer = call_agent(thief, agent, verb, str(volume), **me)
            # In the handshake, as it is a server's certificate only, or by the role that it does not have.
            assert answer.startswith(("refused denied", "refused unavailable")), (thief, verb, answer)
    assert call_agent(stack.controller_host, agent, "get", str(volume)) == f"answer {SIZE}"
    stack.controller.delete(str(volume))


def test_controller_takes_no_agent_for_another(stack: Stack) -> None:
    """Whoever answers at a node's address must hold the key of that very node."""
    answer = call_agent(stack.controller_host, stack.lab.host("host2"), "describe", node="host1")
    assert answer.startswith("refused unavailable"), answer


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
    stack.controller.detach(str(volume), "host1")
    stack.controller.delete(str(volume))
    assert stack.leftovers() == {}


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


# -- a disk that fails


@pytest.mark.parametrize("fault", ["error", "read_error"])
def test_volume_whose_disk_fails_while_it_is_made_is_not_made(stack: Stack, fault: str) -> None:
    """LVM's metadata can be written, the volume cannot (or cannot be read): the failure is in the making of its
    content. The other node is silent, so that the volume has nowhere else to go.
    """
    host, name, thick = stack.lab.host("host2"), f"fails-{fault}", {"layout": "thick"}
    disk = host.fault_disk(0)
    stack.kill(["host1"])
    await_heard(stack.controller, "host1", yes=False)
    good = 100 * MIB // 512  # more than the PV's metadata
    feature = {"error": "", "read_error": " 1 error_reads"}[fault]
    bad = f"{good} {disk.sectors - good} flakey {disk.backing} {good} 0 3600{feature}"
    table = f"0 {good} linear {disk.backing} 0\\n{bad}"
    load = f"printf '{table}\\n' | dmsetup load {disk.name} && dmsetup suspend --noflush --nolockfs {disk.name}"
    host.run(["sh", "-e", "-c", f"{load}; dmsetup resume --noudevsync {disk.name}"])
    try:
        with pytest.raises(grpc.RpcError) as failed:
            stack.controller.create(name, SIZE, mount(), parameters=thick, near="host2", timeout=60)
        assert failed.value.code() in {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE}, failed.value.details()
        made = [line for line in volumes_of(host).splitlines() if volume_key(name) in line]
        assert not [line for line in made if "content=ready" in line or "formatted" in line]
        assert not [volume for volume in stack.controller.volumes() if volume_key(name) in volume]
    finally:
        disk.good()
        stack.start(["host1"])
    # Asked again, as external-provisioner does, while the other node is still out of reach or back already.
    stack.await_ready(["host1"])
    await_heard(stack.controller, "host1")
    again = stack.controller.create(name, SIZE, mount(), parameters=thick, near="host2", timeout=60).volume_id
    volumes = "".join(volumes_of(each) for each in stack.lab.hosts[:2])
    assert [line.split()[0] for line in volumes.splitlines() if volume_key(name) in line] == [again]
    holder = host if again in volumes_of(host) else stack.lab.host("host1")
    holder.run(["sh", "-c", f"lvchange -ay -K {VG}/{again} && fsck.ext4 -fn /dev/{VG}/{again}"])
    stack.controller.delete(again)
    assert stack.leftovers() == {}
