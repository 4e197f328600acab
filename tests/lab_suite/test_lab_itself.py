"""The lab keeps what it promises: hosts boot, obey, fail as told, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab import (
    GIB,
    MIB,
    BuildFailed,
    CommandFailed,
    GuestError,
    GuestTimeout,
    Host,
    HostDown,
    Lab,
)
from tests.lab.fixtures import hosts
from tests.lab.kernel import from_suite
from tests.lab.waiting import eventually

TARGET = "iqn.2026-11.io.clinker:lab-itself"
PING = ("ping", "-c1", "-w20")
"""Ends with the first answer, 20 s at most."""


@pytest.fixture(scope="module")
def lab() -> Generator[Lab]:
    with Lab(hosts(1)):  # whatever must be built is built before the clock runs
        pass
    started = time.monotonic()
    with Lab(hosts(3, GIB, 512 * MIB)) as booted:
        took = time.monotonic() - started
        print(f"\nthree warm hosts up in {took:.1f} s")
        assert took <= 30
        yield booted


@pytest.fixture
def one(lab: Lab) -> Host:
    return lab.host("host1")


@pytest.fixture
def two(lab: Lab) -> Host:
    return lab.host("host2")


class TestCommands:
    def test_run_gives_output_and_code(self, one: Host) -> None:
        ended = one.run(
            ["sh", "-c", "cat; echo $GREETING >&2; exit 3"], stdin=b"in", check=False, env={"GREETING": "hi"}
        )
        assert (ended.rc, ended.stdout, ended.output, ended.stderr) == (3, "in", b"in", "hi\n")

    def test_failing_check_carries_the_output(self, one: Host) -> None:
        with pytest.raises(CommandFailed, match="no such thing") as caught:
            one.run(["sh", "-c", "echo no such thing >&2; exit 7"])
        assert caught.value.rc == 7

    def test_run_costs_little(self, one: Host) -> None:
        took = []
        for _ in range(20):
            started = time.monotonic()
            one.run(["true"])
            took.append(time.monotonic() - started)
        print(f"\nrun(true): {min(took) * 1000:.1f} ms and more")
        assert min(took) < 0.1  # 6-10 ms when the machine has nothing else to do

    def test_run_does_not_wait_for_what_it_leaves_behind(self, one: Host) -> None:
        started = time.monotonic()
        one.run(["sh", "-c", "sleep 30 &"])
        assert time.monotonic() - started < 10

    def test_time_limit_kills_the_whole_group(self, one: Host) -> None:
        with pytest.raises(GuestTimeout, match="before"):
            one.run(["sh", "-c", "echo before; sleep 1234 & sleep 1234"], timeout=0.5)
        eventually(lambda: one.run(["pgrep", "-f", "sleep 1234"], check=False).rc == 1)

    def test_unknown_program(self, one: Host) -> None:
        with pytest.raises(GuestError, match="no-such-program"):
            one.run(["no-such-program"])

    def test_big_streams(self, one: Host) -> None:
        data = os.urandom(8 * MIB)
        assert one.run(["cat"], stdin=data).output == data

    def test_commands_run_beside_each_other(self, one: Host) -> None:
        started = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            codes = list(pool.map(lambda _: one.run(["sleep", "1"]).rc, range(16)))
        assert codes == [0] * 16
        assert time.monotonic() - started < 8

    def test_spawn(self, one: Host) -> None:
        process = one.spawn(
            ["sh", "-c", "echo begin; trap 'echo bye; exit 5' TERM; while :; do sleep 0.1; done"], name="loop"
        )
        assert process.poll() is None
        eventually(lambda: process.log() == "begin\n")
        assert process.terminate() == 5
        assert process.log() == "begin\nbye\n"
        again = one.spawn(["sleep", "600"], name="loop")
        with pytest.raises(GuestTimeout):
            again.wait(0.2)
        assert again.kill() == -signal.SIGKILL
        assert again.returncode() == -signal.SIGKILL
        assert again.log() == ""

    def test_files(self, one: Host) -> None:
        one.put("/root/deep/file", b"\0content", 0o640)
        assert one.get("/root/deep/file") == b"\0content"
        assert one.run(["stat", "-c", "%a", "/root/deep/file"]).stdout == "640\n"
        with pytest.raises(GuestError, match="FileNotFoundError"):
            one.get("/nowhere")

    def test_trees_replace_each_other(self, one: Host, tmp_path: Path) -> None:
        (tmp_path / "sub/__pycache__").mkdir(parents=True)
        (tmp_path / "sub/file").write_text("text")
        (tmp_path / "sub/__pycache__/junk").write_text("junk")
        one.run(["sh", "-c", "mkdir -p /root/tree; echo old > /root/tree/old"])
        one.put_tree(tmp_path, "/root/tree")
        assert one.run(["find", "/root/tree", "-type", "f"]).stdout == "/root/tree/sub/file\n"

    def test_driver_starts(self, one: Host) -> None:
        started = time.monotonic()
        one.install_driver()
        print(f"\ninstall_driver: {time.monotonic() - started:.2f} s")
        path = "PYTHONPATH=/opt/clinker/src:/opt/clinker/site-packages"
        one.run(["env", path, "python3", "-c", "import grpc, kubernetes, cryptography, csi_driver"])

    def test_machine_folder_in_the_guest(self, one: Host, tmp_path: Path) -> None:
        (tmp_path / "big").write_text("as it is")
        one.mount_machine(tmp_path, "/mnt/machine")
        assert one.get("/mnt/machine/big") == b"as it is"
        one.run(["umount", "/mnt/machine"])


class TestIdentity:
    def test_hosts_differ(self, lab: Lab) -> None:
        for path in (
            "/etc/hostname",
            "/etc/machine-id",
            "/etc/iscsi/initiatorname.iscsi",
            "/proc/sys/kernel/random/boot_id",
        ):
            assert len({host.get(path) for host in lab.hosts}) == 3, path

    def test_initiator_name(self, one: Host) -> None:
        assert one.initiator.encode() in one.get("/etc/iscsi/initiatorname.iscsi")

    def test_hosts_know_each_other_by_name(self, one: Host) -> None:
        one.run([*PING, "host3"])

    def test_kernel_has_what_storage_needs(self, one: Host) -> None:
        targets = one.run(["dmsetup", "targets"]).stdout
        for target in (
            "thin-pool",
            "thin",
            "delay",
            "flakey",
            "error",
            "linear",
            "raid",
            "multipath",
            "crypt",
            "snapshot",
        ):
            assert f"\n{target} " in f"\n{targets}", target
        one.run(["test", "-d", "/sys/module/iscsi_target_mod"])
        one.run(["test", "-d", "/sys/class/iscsi_transport/tcp"])
        one.run(["pgrep", "-x", "iscsid"])

    def test_machine_program_in_the_labs_network(self, lab: Lab, one: Host) -> None:
        command = lab.network_command(["ip", "-oneline", "neigh", "show", one.address])
        one.run([*PING, "10.77.0.254"])
        assert (
            one.identity.mac in subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
        )


class TestKernel:
    def test_suite_that_cannot_be_had(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Then the next one is tried, see ``tests/unit/test_lab_kernel.py``."""
        monkeypatch.setenv("CLINKER_DEBIAN_MIRROR", "file:/nowhere")
        with pytest.raises(BuildFailed, match="nowhere"):
            from_suite("unstable", tmp_path, tmp_path)


class TestSockets:
    def test_concurrent_connections(self, one: Host) -> None:
        echo = one.spawn(["socat", "UNIX-LISTEN:/run/echo.sock,fork,backlog=64", "EXEC:cat"], name="echo")
        eventually(lambda: one.run(["test", "-S", "/run/echo.sock"], check=False).rc == 0)
        path = one.socket("/run/echo.sock")
        with ThreadPoolExecutor(12) as pool:
            assert all(pool.map(lambda number: _echoes(path, bytes([number]) * 300_000), range(12)))
        echo.kill()

    def test_listener_comes_and_goes(self, one: Host) -> None:
        path = one.socket("/run/again.sock", mode=0o666)
        assert path.stat().st_mode & 0o777 == 0o666
        assert one.socket("/run/again.sock") == path
        for _ in range(2):
            assert not _echoes(path, b"nobody there")
            server = one.spawn(["socat", "UNIX-LISTEN:/run/again.sock,fork", "EXEC:cat"], name="again")
            eventually(lambda: _echoes(path, b"back"))
            server.kill()
            one.run(["rm", "-f", "/run/again.sock"])

    def test_tcp(self, one: Host) -> None:
        server = one.spawn(["socat", "TCP-LISTEN:4000,bind=127.0.0.1,fork,reuseaddr", "EXEC:cat"], name="tcp")
        eventually(lambda: _echoes(one.tcp(4000), b"over tcp"))
        server.kill()


def _echoes(path: Path, data: bytes) -> bool:
    """Whether what is sent comes back, ended by the half close."""
    with socket.socket(socket.AF_UNIX) as sock, ThreadPoolExecutor(1) as writer:
        sock.settimeout(20)
        try:
            sock.connect(str(path))
            sent = writer.submit(_send, sock, data)
            got = b"".join(iter(lambda: sock.recv(1 << 16), b""))
            sent.result()
        except OSError:
            return False
        return got == data


def _send(sock: socket.socket, data: bytes) -> None:
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)


class TestStorage:
    def test_volume_over_iscsi(self, one: Host, two: Host) -> None:
        one.run(["vgcreate", "itself", one.disks[0]])
        one.run(["lvcreate", "-y", "--type", "thin-pool", "-L", "512m", "-n", "pool", "itself"])
        one.run(["lvcreate", "-y", "-V", "256m", "-n", "lun", "--thinpool", "pool", "itself"])
        one.run(["sh", "-ec", _export("/dev/itself/lun", one.address, two.initiator)])
        portal = f"{one.address}:3260"
        node = ["iscsiadm", "-m", "node", "-T", TARGET, "-p", portal]
        two.run([*node, "-o", "new"])
        two.run([*node, "-l"])
        device = f"/dev/disk/by-path/ip-{portal}-iscsi-{TARGET}-lun-0"
        eventually(lambda: two.run(["test", "-b", device], check=False).rc == 0)
        two.run(["sh", "-ec", f"mkfs.ext4 -q {device}; mount {device} /mnt; echo kept > /mnt/file; umount /mnt"])
        two.run([*node, "-u"])
        two.run([*node, "-o", "delete"])
        one.run(["sh", "-ec", _unexport(one.address, two.initiator)])
        one.run(["mount", "-o", "ro", "/dev/itself/lun", "/mnt"])
        assert one.get("/mnt/file") == b"kept\n"
        one.run(["sh", "-ec", "umount /mnt; vgremove -qq -f itself; pvremove -qq $0", one.disks[0]])

    def test_fault_disk_turns_bad_and_good(self, two: Host) -> None:
        disk = two.fault_disk(1)
        assert two.fault_disk(1) is disk
        read = ["dd", f"if={disk.path}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"]
        two.run(read)
        disk.error()
        assert two.run(read, check=False).rc != 0
        disk.delay(400)
        started = time.monotonic()
        two.run(read)
        assert time.monotonic() - started >= 0.35
        disk.flakey(0, 60)
        assert two.run(read, check=False).rc != 0
        disk.good()
        two.run(read)

    def test_switching_lets_delayed_io_go(self, two: Host) -> None:
        disk = two.fault_disk(1)
        disk.delay(30_000)
        reader = two.spawn(["dd", f"if={disk.path}", "of=/dev/null", "bs=4k", "count=1", "iflag=direct"], name="slow")
        time.sleep(0.3)
        assert reader.poll() is None
        disk.good()
        assert reader.wait(10) == 0

    def test_dropped_writes_are_lost(self, two: Host) -> None:
        disk = two.fault_disk(1)
        write = "printf {} | dd of=$0 bs=512 count=1 conv=sync,fsync oflag=direct iflag=fullblock"
        two.run(["sh", "-ec", write.format("first"), disk.path])
        disk.drop_writes()
        two.run(["sh", "-ec", write.format("later"), disk.path])
        disk.good()
        assert two.run(["dd", f"if={disk.path}", "bs=512", "count=1", "iflag=direct"]).stdout.startswith("first")


def _export(device: str, address: str, initiator: str) -> str:
    """Raw configfs, as the driver does it."""
    return f"""
cd /sys/kernel/config/target
mkdir -p core/iblock_0/lun
echo udev_path={device} > core/iblock_0/lun/control
echo 1 > core/iblock_0/lun/enable
T=iscsi/{TARGET}/tpgt_1
mkdir -p $T
echo 0 > $T/attrib/authentication
mkdir $T/np/{address}:3260 $T/lun/lun_0
ln -s $PWD/core/iblock_0/lun $T/lun/lun_0/lun
mkdir -p $T/acls/{initiator}/lun_0
ln -s $PWD/$T/lun/lun_0 $T/acls/{initiator}/lun_0/lun
echo 1 > $T/enable
"""


def _unexport(address: str, initiator: str) -> str:
    return f"""
cd /sys/kernel/config/target
T=iscsi/{TARGET}/tpgt_1
echo 0 > $T/enable
rm $T/acls/{initiator}/lun_0/lun
rmdir $T/acls/{initiator}/lun_0 $T/acls/{initiator}
rm $T/lun/lun_0/lun
rmdir $T/lun/lun_0 $T/np/{address}:3260 $T iscsi/{TARGET} core/iblock_0/lun core/iblock_0
"""


class TestMisfortunes:
    def test_crash_and_boot_again(self, one: Host) -> None:
        before = one.get("/proc/sys/kernel/random/boot_id")
        one.run(["sh", "-ec", "mkfs.ext4 -q -F $0; mount $0 /mnt; echo kept > /mnt/file; sync /mnt/file", one.disks[0]])
        one.run(["sh", "-ec", "echo journal > /var/lib/note; sync /var/lib/note"])
        one.run(["sh", "-ec", "echo lost > /run/note"])
        process = one.spawn(["sh", "-c", "echo last words; sleep 600"], name="doomed")
        eventually(lambda: process.log() == "last words\n")
        one.crash()
        assert not one.alive
        assert process.log() == "last words\n"
        with pytest.raises(HostDown):
            one.run(["true"])
        started = time.monotonic()
        one.boot()
        print(f"\none host booted again in {time.monotonic() - started:.1f} s")
        assert one.get("/proc/sys/kernel/random/boot_id") != before
        one.run(["mount", one.disks[0], "/mnt"])
        assert one.get("/mnt/file") == b"kept\n"
        assert one.get("/var/lib/note") == b"journal\n"
        with pytest.raises(GuestError):
            one.get("/run/note")

    def test_power_off_and_a_fresh_root(self, lab: Lab) -> None:
        three = lab.host("host3")
        fault = three.fault_disk(0)
        fault.error()
        three.put("/root/mark", b"here")
        three.power_off()
        assert not three.alive
        three.boot()
        assert three.get("/root/mark") == b"here"
        three.run(["dd", f"if={fault.path}", "of=/dev/null", "count=1"])
        three.power_off()
        three.boot(reimage=True)
        with pytest.raises(GuestError):
            three.get("/root/mark")

    def test_cut_and_mend(self, one: Host, two: Host) -> None:
        one.run([*PING, two.address])
        one.cut(two)
        assert one.run(["ping", "-c1", "-W1", two.address], check=False).rc != 0
        assert two.run(["ping", "-c1", "-W1", one.address], check=False).rc != 0
        one.run([*PING, "host3"])
        one.mend(two)
        one.run([*PING, two.address])

    def test_freeze_and_thaw(self, one: Host, two: Host) -> None:
        ticking = one.spawn(["sh", "-c", "while :; do echo .; sleep 0.05; done"], name="ticking")
        eventually(lambda: len(ticking.log()) > 2)
        one.freeze()
        time.sleep(0.2)
        frozen_at = len(ticking.log())
        assert one.alive
        assert two.run(["ping", "-c1", "-W1", one.address], check=False).rc != 0
        assert len(ticking.log()) == frozen_at
        with pytest.raises(HostDown):
            one._channel.request("ping", limit=0.5)  # the time limit of every operation, shortened
        one.thaw()
        eventually(lambda: len(ticking.log()) > frozen_at)
        two.run([*PING, one.address])
        ticking.kill()

    def test_crash_of_a_frozen_host(self, one: Host) -> None:
        one.freeze()
        one.crash()
        one.boot()
