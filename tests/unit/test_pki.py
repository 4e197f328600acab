"""``clinker pki``: what is written, for whom to read, and what it proves."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from csi_driver.cli import certificates
from csi_driver.cli.main import main
from csi_driver.errors import InvalidRequest


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    folder = tmp_path / "pki"
    assert main(["pki", "ca", "--folder", str(folder)]) == 0
    return folder


def issue(pki: Path, *more: str) -> int:
    return main(["pki", "issue", "--folder", str(pki), *more])


def read(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def alternative_names(certificate: x509.Certificate) -> list[str]:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def purposes(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_keys_are_for_their_owner_alone(pki: Path) -> None:
    assert issue(pki, "--role", "controller") == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in pki.iterdir()}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "controller.crt": 0o644, "controller.key": 0o600}


def test_a_controller_s_certificate(pki: Path) -> None:
    assert issue(pki, "--role", "controller", "--name", "c1") == 0
    certificate = read(pki / "c1.crt")
    assert alternative_names(certificate) == ["urn:clinker:role:controller"]
    assert purposes(certificate) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(read(pki / "ca.crt"))
    key = load_pem_private_key((pki / "c1.key").read_bytes(), password=None)
    assert key.public_key() == certificate.public_key()


def test_a_node_s_certificate(pki: Path) -> None:
    addresses = ("--address", "fd00::1", "--address", "store.example")
    assert issue(pki, "--role", "node", "--name", "host-1.example", *addresses) == 0
    certificate = read(pki / "host-1.example.crt")
    assert alternative_names(certificate) == [
        "host-1.example.agent.clinker",
        "urn:clinker:node:host-1.example",
        "fd00::1",
        "store.example",
    ]
    assert purposes(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_a_certificate_that_nobody_signs(tmp_path: Path) -> None:
    for _ in range(2):  # over an older one too
        assert main(["pki", "self", "--folder", str(tmp_path), "--name", "host-1"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["self.crt", "self.key"]
    assert stat.S_IMODE((tmp_path / "self.key").stat().st_mode) == 0o600
    certificate = read(tmp_path / "self.crt")
    certificate.verify_directly_issued_by(certificate)
    assert alternative_names(certificate) == ["host-1.agent.clinker", "urn:clinker:node:host-1"]
    assert purposes(certificate) == [ExtendedKeyUsageOID.SERVER_AUTH]
    # Who trusts it trusts nothing that its key might sign.
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_how_long_it_is_good(pki: Path) -> None:
    assert issue(pki, "--role", "controller", "--days", "3") == 0
    end = read(pki / "controller.crt").not_valid_after_utc - datetime.now(UTC)
    assert timedelta(days=3, minutes=-5) < end <= timedelta(days=3)


def test_a_ca_signs_no_ca_below_it(pki: Path) -> None:
    constraints = read(pki / "ca.crt").extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)


def test_a_ca_is_never_overwritten(pki: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (pki / "ca.key").read_bytes()
    assert main(["pki", "ca", "--folder", str(pki)]) == 1
    assert (pki / "ca.key").read_bytes() == before
    assert "never overwritten" in capsys.readouterr().err


def test_a_certificate_is_renewed_in_place(pki: Path) -> None:
    assert issue(pki, "--role", "controller") == 0
    before = read(pki / "controller.crt")
    assert issue(pki, "--role", "controller") == 0
    assert read(pki / "controller.crt").serial_number != before.serial_number
    assert sorted(path.name for path in pki.iterdir()) == ["ca.crt", "ca.key", "controller.crt", "controller.key"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--role", "node"), "needs --name"),
        (("--role", "node", "--name", "ca"), "cannot be 'ca'"),
        (("--role", "controller", "--name", "ca"), "cannot be the name of its files"),
        (("--role", "controller", "--name", "../x"), "cannot be the name of its files"),
        (("--role", "controller", "--address", "10.0.0.1"), "belongs to --role node"),
        (("--role", "node", "--name", "Host_1"), "cannot be a node's name"),
        (("--role", "node", "--name", "*"), "cannot be a node's name"),
        (("--role", "node", "--name", "n" * 60 + ".x" * 100), "at most 239 characters"),
        (("--role", "node", "--name", "n1", "--address", "a b"), "neither an IP address nor a DNS name"),
    ],
)
def test_what_cannot_be_issued_is_said_in_a_sentence(
    pki: Path, capsys: pytest.CaptureFixture[str], more: tuple[str, ...], words: str
) -> None:
    before = {path: path.read_bytes() for path in pki.iterdir()}
    assert issue(pki, *more) == 1
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert {path: path.read_bytes() for path in pki.iterdir()} == before


def test_a_folder_without_a_ca_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert issue(tmp_path / "none", "--role", "controller") == 1
    assert "ca.crt: No such file" in capsys.readouterr().err


def test_the_key_of_another_ca_is_noticed() -> None:
    mixed = certificates.Pair(certificates.make_ca(days=1).certificate, certificates.make_ca(days=1).key)
    with pytest.raises(InvalidRequest, match="not the key of its certificate"):
        certificates.issue_controller(mixed, days=1)


def test_what_is_no_key_is_noticed() -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        certificates.issue_controller(certificates.Pair(b"x", b"y"), days=1)


def test_a_key_does_not_show(pki: Path) -> None:
    assert "PRIVATE" not in repr(certificates.Pair(b"", (pki / "ca.key").read_bytes()))
