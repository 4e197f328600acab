"""The lab's plain values: specs, identities, sizes, the wire format, claims."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from tests.lab import GIB, MIB, DiskSpec, HostSpec, ImageSpec, Lab, LabError
from tests.lab import record as records
from tests.lab.__main__ import size, sizes
from tests.lab.guest import wire
from tests.lab.kernel import Kernel
from tests.lab.leftovers import Claim, Process, process, read_claim, write_claim
from tests.lab.network import setup
from tests.lab.spec import device, etc_files, identities


def test_disks_are_sizes() -> None:
    assert HostSpec("host1", (DiskSpec(GIB), 5)).disk_sizes == (GIB, 5)
    assert [device(index) for index in (0, 1, 14)] == ["/dev/ubdb", "/dev/ubdc", "/dev/ubdp"]


@pytest.mark.parametrize("name", ["", "Host", "host_1", "-host", "1host", "h" * 21])
def test_bad_host_names(name: str) -> None:
    with pytest.raises(LabError, match="host name"):
        HostSpec(name)


def test_too_many_disks() -> None:
    with pytest.raises(LabError, match="16 disks"):
        HostSpec("host1", (1,) * 16)


def test_bad_lab_name() -> None:
    with pytest.raises(LabError, match="lab name"):
        Lab([], name="a/b")


def test_identities_differ_and_names_may_not_repeat() -> None:
    one, two = identities("0123abcd", [HostSpec("host1"), HostSpec("host2")])
    assert (one.address, two.address) == ("10.77.0.1", "10.77.0.2")
    assert one.initiator == "iqn.1993-08.org.debian:01:0123abcd01"
    assert len(one.machine_id) == 32
    assert not {one.mac, one.tap, one.initiator, one.machine_id} & {two.mac, two.tap, two.initiator, two.machine_id}
    assert "10.77.0.2 host2\n" in etc_files(one, [one, two])["hosts"]
    with pytest.raises(LabError, match="one name"):
        identities("0123abcd", [HostSpec("host1"), HostSpec("host1")])


def test_network_batch_names_every_tap() -> None:
    batch = setup(["tap1", "tap2"])
    assert "tuntap add dev tap2 mode tap\n" in batch


def test_sizes() -> None:
    assert sizes("4G,512m") == (4 * GIB, 512 * MIB)
    assert sizes("") == ()
    assert size("17") == 17
    with pytest.raises(ValueError, match="not a size"):
        size("4 gigs")


def test_wire_round_trip() -> None:
    stream = io.BytesIO(wire.encode({"op": "put"}, b"", b"two\n"))
    assert wire.receive(stream) == ({"op": "put"}, [b"", b"two\n"])


@pytest.mark.parametrize("said", [b"", b"{", b"[]\n", b"{}\n", wire.encode({}, b"four")[:-1]])
def test_wire_errors(said: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.receive(io.BytesIO(said))


def test_claims(tmp_path: Path) -> None:
    assert read_claim(tmp_path) is None
    me = process(os.getpid())
    claim = Claim(owner=me, supervisor=None)
    write_claim(tmp_path, claim)
    assert read_claim(tmp_path) == claim
    assert claim.alive
    assert not Claim(owner=Process(me.pid, me.started + 1), supervisor=me).alive
    assert Claim(owner=None, supervisor=me).alive


def test_records(tmp_path: Path) -> None:
    specs = (HostSpec("host1", (DiskSpec(5), 6), 512, ImageSpec(("containerd",))), HostSpec("host2"))
    kernel = Kernel(Path("/k/linux"), Path("/k/modules"), "7.2.7", seccomp=True)
    records.write(tmp_path, records.Record("0123abcd", specs, kernel, (Path("/i1"), Path("/i2"))))
    read = records.read(tmp_path)
    assert read.kernel == kernel
    assert read.images == (Path("/i1"), Path("/i2"))
    assert [spec.disk_sizes for spec in read.specs] == [(5, 6), ()]
    assert read.specs[0].image == ImageSpec(("containerd",))
