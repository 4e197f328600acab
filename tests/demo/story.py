"""The story that ``make demo`` tells, a method a step. Everything goes through CSI sockets; what it shows is
read on the hosts with ordinary tools.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field

import grpc

from csi_driver.model.sizes import GIB, MIB
from tests.demo.show import check, evidence, say
from tests.lab import Host
from tests.stack.csi import mount
from tests.stack.records import Writer, verify
from tests.stack.stack import Stack

STAGING, TARGET = "/var/lib/kubelet/staging/demo", "/var/lib/kubelet/pods/demo/data"


@dataclass
class Story:
    """One volume's life over three hosts: two with disks, one without."""

    stack: Stack
    volume: str = ""
    digest: str = ""
    capability = mount("ext4")
    context: dict[str, str] = field(default_factory=dict)

    def host(self, number: int) -> Host:
        """host1 and host2 have disks, host3 has none."""
        return self.stack.lab.host(f"host{number}")

    def create(self) -> None:
        """A thin ext4 volume near host 1."""
        made = self.stack.controller.create(
            "demo", GIB, self.capability, parameters={"writeCache": "through"}, near="host1"
        )
        self.volume = made.volume_id
        say(f"    CreateVolume answered {made.volume_id}, {made.capacity_bytes // MIB} MiB")
        listed = self.host(1).run(["lvs", "--noheadings", "-o", "lv_name,lv_size,pool_lv,lv_tags", "vg0"]).stdout
        evidence("\n".join(line for line in listed.splitlines() if self.volume in line))
        check("clinker.content=ready" in listed, "the logical volume on host1 says what it is, in its tags")
        check("clinker.formatted=ext4" in listed, "its file system was made by the storage node, once")

    def use_locally(self) -> None:
        """Attach and mount on the node that holds it."""
        self._mount_on(1)
        table = self.host(1).run(["dmsetup", "table", self.volume]).stdout.strip()
        below = self.host(1).run(["dmsetup", "deps", "-o", "devname", self.volume]).stdout.strip()
        evidence(f"{self.volume}: {table}\n{below}")
        check(table.count("\n") == 0 and " linear " in table, "what is mounted is one dm-linear over the LV")
        check(self.volume.replace("-", "--") in below, "and the LV is all that is below it")
        sessions = self.host(1).run(["sh", "-c", "ls /sys/class/iscsi_session"]).stdout.split()
        check(not sessions, "there is no iSCSI session on host1: the path is local")

    def write_data(self) -> None:
        """Data with a known checksum."""
        data = hashlib.sha256(b"clinker").digest() * (MIB * 32 // 32)
        self.host(1).put("/tmp/data", data)
        self.host(1).run(["sh", "-c", f"cp /tmp/data {TARGET}/data && sync {TARGET}/data"])
        self.digest = hashlib.sha256(data).hexdigest()
        evidence(self.host(1).run(["sha256sum", f"{TARGET}/data"]).stdout)

    def move(self) -> None:
        """To a node without disks, over iSCSI."""
        self._unmount_from(1)
        self._mount_on(3)
        evidence(self.host(3).run(["sh", "-c", "iscsiadm -m session"]).stdout)
        evidence(self.host(1).run(["sh", "-c", "ls /sys/kernel/config/target/iscsi/*clinker*/tpgt_1/acls"]).stdout)
        chap = self.host(3).run(["sh", "-c", "cat /sys/class/iscsi_session/session*/username"]).stdout.strip()
        check(chap != "" and "null" not in chap, f"the session logged in by CHAP as {chap}")
        seen = self.host(3).run(["sha256sum", f"{TARGET}/data"]).stdout.split()[0]
        check(seen == self.digest, "the checksum on host3 is that of host1")

    def grow(self) -> None:
        """Online, under a writer."""
        writer = Writer.start(self.host(3), f"{TARGET}/grow", name="grow-writer")
        writer.await_more(20, seconds=60)
        before = self._size(3)
        self.stack.controller.expand(self.volume, 2 * GIB)
        self.stack.node("host3").grow(self.volume, TARGET)
        after = self._size(3)
        writer.await_more(20, seconds=60)
        writer.stop()
        evidence(f"file system before {before // MIB} MiB, after {after // MIB} MiB")
        check(after > 1.9 * before, "the mounted file system on host3 has grown to 2 GiB")
        check(writer.error() == "", "the writer saw no error")

    def kill_drivers(self) -> None:
        """The data path is the kernel's."""
        writer = Writer.start(self.host(3), f"{TARGET}/killed", name="kill-writer")
        writer.await_more(20, seconds=60)
        self.stack.kill()
        say("    every clinker process on every host was killed with -9")
        writer.await_more(100, seconds=60)
        check(writer.error() == "", "with every driver process dead, 100 more writes were made safe")
        self.stack.start()
        self.stack.await_ready()
        writer.await_more(20, seconds=60)
        writer.stop()
        check(writer.error() == "", "and the drivers' return was not noticed either")

    def pull_the_plug(self) -> None:
        """The storage node loses power under a writer that fsyncs each record."""
        writer = Writer.start(self.host(3), f"{TARGET}/plug", name="plug-writer")
        writer.await_more(50, seconds=60)
        self.host(1).crash()
        safe_before = set(writer.safe())
        say(f"    host1 lost power; {len(safe_before)} records were safe by then")
        self.host(1).boot()
        self.stack.processes.pop("host1")
        self.stack.start(["host1"])
        writer.await_more(50, seconds=120)
        check(writer.error() == "", "host3's writer went on by itself, without an error")
        writer.stop()
        evidence(f"longest wait of one record: {writer.longest_stall():.1f} s")
        good, bad = verify(self.host(3), f"{TARGET}/plug")
        check(safe_before <= good, "every record whose fsync returned before the crash verifies")
        check(
            set(writer.safe()) <= good and not bad, f"and so does every one after it: {len(good)} good, {len(bad)} bad"
        )
        self.stack.await_ready()

    def fence(self) -> None:
        """ControllerUnpublish without NodeUnstage, as Kubernetes does on force detach."""
        writer = Writer.start(self.host(3), f"{TARGET}/fence", name="fence-writer")
        writer.await_more(50, seconds=60)
        self.stack.controller.detach(self.volume, "host3")
        first = self._volume_digest()
        say("    ControllerUnpublishVolume(host3) answered OK while host3 was writing")
        until = time.monotonic() + 60
        while writer.process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        check(writer.error() != "", f"the writer on host3 got an error: {writer.error() or 'none'}")
        time.sleep(3)
        check(self._volume_digest() == first, "not a byte of the volume on host1 changed after the OK")

    def look_at_fenced(self) -> None:
        """What was safe before the fence is there for the next node."""
        safe = {int(line.split()[1]) for line in self._fence_log().splitlines() if line.startswith("safe ")}
        self.stack.node("host3").unpublish(self.volume, TARGET)
        self.stack.node("host3").unstage(self.volume, STAGING)
        self._mount_on(1)
        good, _ = verify(self.host(1), f"{TARGET}/fence")
        check(safe <= good, f"mounted on host1, all {len(safe)} records that were safe before the fence verify")
        self._unmount_from(1)

    def delete(self) -> None:
        """And nothing is left."""
        self.stack.controller.delete(self.volume)
        left = self.stack.leftovers()
        for name, things in left.items():
            evidence(f"{name}: " + "; ".join(things))
        check(
            not left,
            "on no host is there an LV, dm device, target, session, node record, mount or journal entry of ours",
        )

    # -- parts of steps

    def _mount_on(self, number: int) -> None:
        name = f"host{number}"
        self.context = self.stack.controller.attach(self.volume, name, self.capability)
        self.host(number).run(["mkdir", "-p", STAGING, TARGET.rsplit("/", 1)[0]])
        self.stack.node(name).stage(self.volume, self.context, STAGING, self.capability)
        self.stack.node(name).publish(self.volume, self.context, STAGING, TARGET, self.capability)
        say(f"    attached, staged and published on {name}: {self.context.get('transport')}")

    def _unmount_from(self, number: int) -> None:
        name = f"host{number}"
        self.stack.node(name).unpublish(self.volume, TARGET)
        self.stack.node(name).unstage(self.volume, STAGING)
        self.stack.controller.detach(self.volume, name)
        say(f"    unpublished, unstaged and detached from {name}")

    def _size(self, number: int) -> int:
        out = self.host(number).run(["stat", "-f", "-c", "%S %b", TARGET]).stdout.split()
        return int(out[0]) * int(out[1])

    def _volume_digest(self) -> str:
        device = f"/dev/mapper/vg0-{self.volume.replace('-', '--')}"
        script = f"blockdev --flushbufs {device}; dd if={device} bs=1M iflag=direct 2>/dev/null | sha256sum"
        return self.host(1).run(["sh", "-c", script], timeout=120).stdout.split()[0]

    def _fence_log(self) -> str:
        return (self.stack.lab.folder / "logs" / "host3" / "fence-writer.log").read_text()


def explain(error: grpc.RpcError) -> str:
    """An RPC's failure as one line; a blocking call's error is a grpc.Call as well."""
    code, details = getattr(error, "code", str)(), getattr(error, "details", str)()
    return f"an RPC failed: {code}: {details}"
