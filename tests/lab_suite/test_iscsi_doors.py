"""The doors to LIO, open-iscsi and devices between two real hosts: LV, wrapper, target, login, disk, fence."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csi_driver.model.ids import VolumeId, draw_copy, volume_key
from tests.lab import GIB, MIB, GuestError, Host, HostSpec, Lab
from tests.lab.waiting import eventually

SIZE = 64 * MIB
SECRET, OTHER_SECRET = "s" * 32, "t" * 32
SCRIPT = "/opt/clinker/iscsi_doors.py"
V6 = "fd00:77::"
PORT = 3260
SOON = 60.0
"""Seconds. A login of ours ends after a few on a quiet machine, one by open-iscsi's defaults after 120 (8 tries)."""


class Refused(Exception):
    """A door raised an error; the first argument is its kind."""


def call(host: Host, verb: str, **order: Any) -> Any:
    done = host.run(["python3", SCRIPT, verb, json.dumps(order)], env={"PYTHONPATH": "/opt/clinker/src"}, timeout=90)
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise Refused(answer["error"], answer["text"])
    return answer["answer"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab([HostSpec("store", (2 * GIB,)), HostSpec("one"), HostSpec("two")]) as lab:
        for host in lab.hosts:
            host.install_driver()
            host.put(SCRIPT, (Path(__file__).parent / "iscsi_doors.py").read_bytes())
            host.run(["ip", "-6", "addr", "add", f"{V6}{host.number}/64", "dev", "vec0", "nodad"])
        lab.host("store").run(["vgcreate", "--yes", "vg0", "/dev/ubdb"])
        lab.host("store").run(["lvcreate", "--yes", "--type", "thin-pool", "-L", "1g", "-n", "pool", "vg0"])
        yield lab


class Volume:
    """An LV with a wrapper over it, on the storage node."""

    def __init__(self, lab: Lab) -> None:
        self.lab, self.store = lab, lab.host("store")
        self.id = VolumeId(volume_key("a volume"), draw_copy())
        self.portal = f"{self.store.address}:{PORT}"
        name = str(self.id)
        self.told = f"/tmp/told-{name}"
        self.store.run(["lvcreate", "--yes", "-V", f"{SIZE}b", "--thinpool", "pool", "-n", name, "vg0"])
        table = f"0 {SIZE // 512} linear /dev/vg0/{name} 0"
        self.store.run(["dmsetup", "create", name, "--table", table])
        self.device = str(Path("/dev") / self.store.run(["readlink", f"/dev/mapper/{name}"]).stdout.strip()[3:])

    def order(self, consumer: Host, **changes: Any) -> dict[str, Any]:
        return {
            "volume": str(self.id),
            "device": self.device,
            "size": SIZE,
            "portals": [self.portal, f"[{V6}{self.store.number}]:{PORT}"],
            "portal": self.portal,
            "initiator": consumer.initiator,
            "secret": SECRET,
            **changes,
        }

    def clear(self) -> None:
        for host in (self.lab.host("one"), self.lab.host("two")):
            call(host, "logout", volume=str(self.id))
            call(host, "forget", volume=str(self.id))
        call(self.store, "take_down", volume=str(self.id))
        self.store.run(["dmsetup", "remove", "--retry", str(self.id)])
        self.store.run(["lvremove", "--yes", f"vg0/{self.id}"])


@pytest.fixture
def volume(lab: Lab) -> Iterator[Volume]:
    made = Volume(lab)
    yield made
    made.clear()


@pytest.fixture
def other(lab: Lab) -> Iterator[Volume]:
    made = Volume(lab)
    yield made
    made.clear()


def attach(volume: Volume, host: Host, **changes: Any) -> str:
    """Export to the host, and the path of its disk there."""
    order = volume.order(host, **changes)
    call(volume.store, "export", **order)
    call(host, "record", **order)
    call(host, "login", **order)
    disk = call(host, "disk", **order)
    assert (disk["serial"], disk["naa"]) == (volume.id.serial, volume.id.naa)
    assert (disk["size"], disk["read_only"]) == (SIZE, False)
    return str(disk["path"])


def writes(volume: Volume) -> int:
    """Write requests that the wrapper has completed (Documentation/block/stat.rst)."""
    stat = volume.store.get(f"/sys/block/{Path(volume.device).name}/stat").decode()
    return int(stat.split()[4])


@pytest.mark.parametrize("iscsiadm", ["direct", "host"])
def test_a_volume_is_reached_and_leaves_nothing(volume: Volume, iscsiadm: str) -> None:
    one = volume.lab.host("one")
    path = attach(volume, one, iscsiadm=iscsiadm)
    (session,) = call(volume.store, "seen", volume=str(volume.id), initiator=one.initiator)
    assert (session["state"], session["addresses"]) == ("logged-in", [one.address])
    call(one, "write", path=path, told=volume.told, count=100)
    assert call(volume.store, "numbers", path=volume.device) == 100
    order = volume.order(one, iscsiadm=iscsiadm)
    call(one, "logout", **order)
    call(one, "forget", **order)
    assert call(one, "state", **order) == {"records": [], "sessions": []}
    assert one.run(["sh", "-c", "find /var/lib/iscsi /etc/iscsi | grep clinker || true"]).stdout == ""
    call(volume.store, "take_down", **order)
    assert call(volume.store, "left") == []


def test_a_volume_is_reached_over_ipv6(volume: Volume) -> None:
    portal = f"[{V6}{volume.store.number}]:{PORT}"
    attach(volume, volume.lab.host("one"), portal=portal)
    (session,) = call(volume.lab.host("one"), "state")["sessions"]
    assert session["portal"] == portal


def test_the_fence_ends_a_writer_for_good(volume: Volume) -> None:
    one, two = volume.lab.host("one"), volume.lab.host("two")
    path = attach(volume, one, replacement_timeout=5)
    order = {"path": path, "told": volume.told, "count": 16000}
    env = {"PYTHONPATH": "/opt/clinker/src"}
    writer = one.spawn(["python3", SCRIPT, "write", json.dumps(order)], name="writer", env=env)

    def told() -> int:
        try:
            return int(one.get(volume.told) or b"0")
        except GuestError:
            return 0

    eventually(lambda: told() > 50, within=20)
    call(volume.store, "fence", **volume.order(one))
    after_fence = writes(volume)
    stands = call(volume.store, "numbers", path=volume.device)
    call(volume.store, "export", **volume.order(two, secret=OTHER_SECRET))
    assert call(volume.store, "seen", **volume.order(one)) == []
    attach(volume, two, secret=OTHER_SECRET)
    assert writer.wait(60) != 0
    assert writes(volume) == after_fence
    assert call(volume.store, "numbers", path=volume.device) == stands
    # Acknowledged before the fence: on the disk. The one in flight may be there without having been acknowledged.
    assert told() <= stands <= told() + 1
    call(one, "logout", **volume.order(one))
    with pytest.raises(Refused, match="denied"):
        call(one, "login", **volume.order(one))


def test_a_fence_waits_for_what_is_in_flight(volume: Volume, other: Volume) -> None:
    one, store, env = volume.lab.host("one"), volume.store, {"PYTHONPATH": "/opt/clinker/src"}
    path = attach(volume, one)
    # The target does one command of a session after the other: a look of udev's would be held instead of our write.
    one.run(["udevadm", "settle"])
    store.run(["dmsetup", "suspend", "--noflush", "--nolockfs", "--noudevsync", str(volume.id)])
    try:
        order = {"path": path, "told": volume.told, "count": 1}
        one.spawn(["python3", SCRIPT, "write", json.dumps(order)], name="held", env=env)
        eventually(lambda: writes_in_flight(one, path) > 0, within=20)
        fence = store.spawn(["python3", SCRIPT, "fence", json.dumps(volume.order(one))], name="fence", env=env)
        # Another volume of the same node does not wait behind it.
        attach(other, volume.lab.host("two"))
        time.sleep(2)
        assert fence.poll() is None
    finally:
        store.run(["dmsetup", "resume", "--noudevsync", str(volume.id)])
    assert fence.wait(20) == 0
    assert call(store, "numbers", path=volume.device) == 1


def writes_in_flight(host: Host, path: str) -> int:
    """Reads apart (Documentation/ABI/stable/sysfs-block, inflight)."""
    return int(host.get(f"/sys/block/{Path(path).name}/inflight").split()[1])


def test_a_target_that_is_not_there_is_unavailable_soon(volume: Volume, other: Volume) -> None:
    """Nobody at the portal, a portal of other targets, and one that is cut off."""
    one, store = volume.lab.host("one"), volume.store
    unavailable_soon(one, other.order(one, portal=f"{store.address}:{PORT + 1}"))
    call(store, "export", **volume.order(one))
    unavailable_soon(one, other.order(one))
    one.cut(store)
    try:
        unavailable_soon(one, volume.order(one))
    finally:
        one.mend(store)
    call(store, "export", **other.order(one))
    # iscsid has given up too: nothing logs in later, now that both could be reached.
    time.sleep(4)
    assert call(one, "state")["sessions"] == []


def unavailable_soon(host: Host, order: dict[str, Any]) -> None:
    call(host, "record", **order)
    started = time.monotonic()
    with pytest.raises(Refused, match="unavailable"):
        call(host, "login", **order)
    assert time.monotonic() - started < SOON


def test_a_session_over_a_dead_target_can_be_ended(volume: Volume) -> None:
    one = volume.lab.host("one")
    attach(volume, one)
    one.cut(volume.store)
    try:
        call(one, "logout", **volume.order(one))
        assert call(one, "state")["sessions"] == []
    finally:
        one.mend(volume.store)


def test_a_session_outlives_iscsid_and_the_target_with_its_secret(volume: Volume) -> None:
    one = volume.lab.host("one")
    path = attach(volume, one)
    one.run(["sh", "-c", "kill -9 $(pidof iscsid); sleep 1; iscsid"])
    call(volume.store, "take_down", **volume.order(one))
    call(volume.store, "export", **volume.order(one))
    call(one, "write", path=path, told=volume.told, count=10)
    assert call(volume.store, "numbers", path=volume.device) == 10
