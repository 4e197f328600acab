"""Pools on real LVM: made of blank disks, filled to the last byte, extended before they fill, of several disks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from tests.lab import GIB, MIB, Host, HostSpec, Lab
from tests.lab.waiting import eventually
from tests.stack.csi import Csi, block, mount
from tests.stack.standalone import SOCKET, start

HOST = "host1"
FULL, GROWN, MANY, MADE = "/dev/ubdb", "/dev/ubdc", ("/dev/ubdd", "/dev/ubde", "/dev/ubdf", "/dev/ubdg"), "/dev/ubdh"
USED = "/dev/ubdi"
METRICS = "http://127.0.0.1:9809/metrics"
POOLS = f"""
[[agent.pools]]
name = "full"
vg = "vgfull"
thin_pool = "thin"
[[agent.pools]]
name = "grown"
vg = "vggrown"
thin_pool = "thin"
overcommit = 4.0
when_full = "queue"
[[agent.pools]]
name = "many"
vg = "vgmany"
[[agent.pools]]
name = "made"
vg = "vgmade"
thin_pool = "thin"
disks = ["{MADE}"]
[[agent.pools]]
name = "refused"
vg = "vgrefused"
thin_pool = "thin"
disks = ["{USED}"]
"""
TENANT = "the-earlier-tenant"
WRITING = 600
"""Seconds that writing hundreds of MiB may take on a busy machine."""


@dataclass
class Storage:
    """One host with ``clinker standalone`` on it."""

    host: Host
    csi: Csi

    def create(self, name: str, size: int, pool: str, fs: str = "", **parameters: str) -> str:
        capability = mount(fs) if fs else block()
        return self.csi.create(name, size, capability, parameters={"pool": pool} | parameters).volume_id

    def device(self, volume: str) -> str:
        """The volume's device after ControllerPublish to its own node."""
        self.csi.attach(volume, HOST, block())
        # By its number: what udev calls it comes later, and dd would make a file of a name that is not there.
        return "/dev/" + self.sh(f"dmsetup info -c --noheadings -o blkdevname {volume}").strip()

    def done(self, *volumes: str) -> None:
        for volume in volumes:
            self.csi.detach(volume, HOST)
            self.csi.delete(volume)

    def metric(self, name: str, pool: str) -> float:
        program = f"import urllib.request as u; print(u.urlopen({METRICS!r}).read().decode())"
        text = self.host.run(["python3", "-c", program])
        [value] = re.findall(rf'^clinker_pool_{name}{{pool="{pool}",.*}} (\S+)$', text.stdout, re.MULTILINE)
        return float(value)

    def sh(self, script: str) -> str:
        return self.host.run(["sh", "-e", "-c", script], timeout=WRITING).stdout

    def fill(self, device: str, size: int) -> None:
        """Every byte written, past the cache; fails with dd's complaint."""
        self.sh(f"yes {TENANT} | dd of={device} bs=1M count={size // MIB} iflag=fullblock oflag=direct conv=fsync 2>&1")


@pytest.fixture(scope="module")
def storage() -> Iterator[Storage]:
    disks = (GIB // 2, GIB, *(4 * (GIB // 4,)), GIB, GIB // 2)
    with Lab([HostSpec(HOST, disks)]) as lab:
        host = lab.host(HOST)
        for vg, size, *own in (("vgfull", "256m", FULL), ("vggrown", "64m", GROWN)):
            host.run(["vgcreate", "--metadatasize", "64m", vg, *own])
            host.run(["lvcreate", "--type", "thin-pool", "-L", size, "-Zy", "-c", "64k", "-n", "thin", vg])
        vg = "vgmany"
        host.run(["vgcreate", vg, *MANY])
        # Where volumes will lie it is dirty: what shows on a new one was not cleared.
        dirty = f"yes {TENANT} | dd of=/dev/{vg}/dirty bs=1M iflag=fullblock oflag=direct 2>/dev/null || true"
        script = f"lvcreate -y -i 4 -L 640m -n dirty {vg}; {dirty}; lvremove -y {vg}/dirty"
        host.run(["sh", "-c", script], timeout=WRITING)
        host.run(["mkfs.ext4", "-q", USED])
        host.install_driver()
        start(host, POOLS, 'metrics = "127.0.0.1:9809"')
        yield Storage(host, Csi(host.socket(SOCKET), timeout=120, patience=60))


def test_a_pool_is_made_of_a_blank_disk_and_no_other(storage: Storage) -> None:
    facts = storage.sh("vgs --noheadings -o vg_mda_size,vg_tags,vg_autoactivation --units m vgmade").split()
    assert facts[1] == "clinker.made=1"
    assert 64 <= float(facts[0].rstrip("m")) <= 66
    # How LVM spells "autoactivation" where it is off: not at all.
    assert facts[2:] == []
    lv = storage.sh("lvs --noheadings -o chunk_size,zero,lv_size --units k vgmade/thin").split()
    assert lv[:2] == ["64.00k", "zero"]
    assert "[lvol0_pmspare]" in storage.sh("lvs -a --noheadings -o lv_name vgmade")
    volume = storage.create("in-made", 64 * MIB, "made", "ext4")
    storage.done(volume)
    assert storage.metric("healthy", "refused") == 0
    assert "ext4" in storage.sh(f"blkid -p -o value -s TYPE {USED}")
    with pytest.raises(grpc.RpcError) as refused:
        storage.csi.create("in-refused", 64 * MIB, block(), parameters={"pool": "refused"})
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert f"disk {USED} is not blank: it holds an ext file system" in str(refused.value.details())


def test_at_the_defaults_no_writer_meets_a_full_pool(storage: Storage) -> None:
    size = 64 * MIB
    volumes = [storage.create(f"full-{number}", size, "full") for number in range(4)]
    with pytest.raises(grpc.RpcError) as refused:
        storage.create("too-many", 16 * MIB, "full")
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    devices = [storage.device(volume) for volume in volumes]
    for device in devices:
        storage.fill(device, size)
    assert float(storage.sh("lvs --noheadings -o data_percent vgfull/thin")) == 100
    eventually(lambda: storage.metric("thin_used_bytes", "full") == 4 * size, within=60)
    assert storage.metric("thin_promised_bytes", "full") == storage.metric("thin_size_bytes", "full") == 4 * size
    for device in devices:
        # Written again, in place: still no word of a full pool.
        storage.fill(device, size)
    with pytest.raises(grpc.RpcError) as refused:
        storage.create("no-more", size, "full")
    assert "256 MiB" in str(refused.value.details())
    storage.done(*volumes)


def test_a_pool_that_promises_more_grows_under_its_writers(storage: Storage) -> None:
    """A writer may be faster than we look: its writes wait in the kernel, and go on without an error."""
    size = 200 * MIB
    volume = storage.create("grown", size, "grown")
    storage.fill(storage.device(volume), size)
    assert storage.metric("thin_size_bytes", "grown") >= 64 * MIB
    assert float(storage.sh("lvs --noheadings --nosuffix --units m -o lv_size vggrown/thin")) >= 200
    storage.done(volume)


@pytest.mark.parametrize("layout", ["thick", "striped", "raid1", "raid10"])
def test_layouts_over_several_disks(storage: Storage, layout: str) -> None:
    size = 64 * MIB
    volume = storage.create(f"many-{layout}", size, "many", layout=layout)
    segment = storage.sh(f"lvs --noheadings -o segtype vgmany/{volume}").strip()
    assert segment == {"thick": "linear"}.get(layout, layout)
    device = storage.device(volume)
    assert storage.sh(f"head -c {size} {device} | tr -d '\\0' | head -c 99") == ""
    storage.fill(device, size)
    # An unlike leg would show as a mismatch.
    if layout.startswith("raid"):
        storage.sh(f"lvchange --syncaction check vgmany/{volume}")
        fields = f"lvs --noheadings -o raid_sync_action,raid_mismatch_count vgmany/{volume}"
        eventually(lambda: storage.sh(fields).split() == ["idle", "0"], within=60)
    assert storage.csi.expand(volume, 2 * size) == 2 * size
    assert storage.sh(f"tail -c +{size + 1} {device} | tr -d '\\0' | head -c 99") == ""
    storage.done(volume)


def test_file_systems_over_several_disks_with_options(storage: Storage) -> None:
    volume = storage.create("options", 64 * MIB, "many", "ext4", layout="raid10", mkfsOptions="-i 4096 -O ^orphan_file")
    facts = storage.sh(f"dumpe2fs -h /dev/vgmany/{volume} 2>/dev/null")
    assert "orphan_file" not in facts
    assert int(re.findall(r"Inode count:\s+(\d+)", facts)[0]) == 64 * MIB // 4096
    storage.done(volume)


def test_wiped_at_delete(storage: Storage) -> None:
    volume = storage.create("wiped", 64 * MIB, "many", layout="thick", wipe="delete")
    disk, offset = storage.sh(f"lvs --noheadings -o devices vgmany/{volume}").strip().rstrip(")").split("(")
    storage.fill(storage.device(volume), 64 * MIB)
    start_of = storage.sh(f"pvs --noheadings --nosuffix --units b -o pe_start {disk}")
    begin = int(start_of) + int(offset) * 4 * MIB
    look = f"dd if={disk} bs=1M iflag=skip_bytes,direct skip={begin} count=64 2>/dev/null | tr -d '\\0' | head -c 99"
    assert storage.sh(look).startswith(TENANT)
    storage.done(volume)
    assert storage.sh(look) == ""


def test_a_lost_leg_is_health_and_no_loss(storage: Storage) -> None:
    volume = storage.create("leg", 64 * MIB, "many", layout="raid1")
    device = storage.device(volume)
    storage.fill(device, 32 * MIB)
    leg = storage.sh(f"lvs -a --noheadings -o lv_name vgmany | grep -o '{volume}_rimage_0'").strip()
    mapped = f"vgmany-{leg.replace('-', '--')}"
    good = storage.sh(f"dmsetup table {mapped}").strip()
    swap = f"dmsetup suspend {mapped}; echo '%s' | dmsetup load {mapped}; dmsetup resume {mapped}"
    storage.sh(swap % f"0 {64 * MIB // 512} error")
    storage.fill(device, 64 * MIB)
    assert storage.sh(f"head -c 18 {device}") == TENANT
    eventually(lambda: storage.metric("warnings", "many") > 0, within=60)
    storage.sh(swap % good)
    storage.sh(f"lvchange --refresh vgmany/{volume}")
    eventually(lambda: storage.metric("warnings", "many") == 0, within=60)
    assert storage.sh(f"head -c 18 {device}") == TENANT
    storage.done(volume)


def test_what_is_discarded_is_free_in_the_pool(storage: Storage) -> None:
    volume = storage.create("discarded", 64 * MIB, "made")
    device = storage.device(volume)
    storage.fill(device, 64 * MIB)
    before = float(storage.sh("lvs --noheadings -o data_percent vgmade/thin"))
    storage.sh(f"blkdiscard {device}")
    assert float(storage.sh("lvs --noheadings -o data_percent vgmade/thin")) < before
    storage.done(volume)


def test_a_pool_that_needs_a_check_after_a_crash_comes_back_by_itself(storage: Storage) -> None:
    volume = storage.create("crash", 256 * MIB, "made")
    device = storage.device(volume)
    writer = f"dd of={device} bs=4k count=20000 iflag=fullblock oflag=direct conv=notrunc"
    script = f"while :; do yes {TENANT} | {writer}; done"
    storage.host.spawn(["sh", "-c", script], name="writer")
    eventually(lambda: float(storage.sh("lvs --noheadings -o data_percent vgmade/thin")) > 2, within=60)
    storage.host.crash()
    storage.host.boot()
    start(storage.host, POOLS, 'metrics = "127.0.0.1:9809"')
    storage.csi = Csi(storage.host.socket(SOCKET), timeout=120, patience=60)
    assert storage.metric("healthy", "made") == 1
    device = storage.device(volume)
    assert storage.sh(f"head -c 18 {device}") in (TENANT, "\0" * 18)
    storage.fill(device, 64 * MIB)
    storage.done(volume)
