"""The certificates of the test cluster say who somebody is in the terms of the API server."""

from __future__ import annotations

import base64
import ipaddress
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.certificates import CLIENTS, issue_all
from tests.cluster.places import API_ADDRESS, KUBERNETES_SERVICE, Places

NODE, ADDRESS = "host1", "10.77.0.1"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    places = Places(tmp_path_factory.mktemp("lab"))
    issue_all(places, [(NODE, ADDRESS)])
    return places


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def subject(path: Path) -> dict[x509.ObjectIdentifier, str | bytes]:
    return {attribute.oid: attribute.value for attribute in certificate(path).subject}


def purposes(path: Path) -> set[x509.ObjectIdentifier]:
    return set(certificate(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_one_authority_signed_them_all_with_the_keys_beside_them(places: Places) -> None:
    authority = certificate(places.certificate("ca"))
    for name in (*CLIENTS, "apiserver", NODE):
        made = certificate(places.certificate(name))
        made.verify_directly_issued_by(authority)
        key = serialization.load_pem_private_key(places.key(name).read_bytes(), password=None)
        assert key.public_key() == made.public_key()


def test_users_and_groups(places: Places) -> None:
    common_name, organization = NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME
    node = {common_name: f"system:node:{NODE}", organization: "system:nodes"}
    assert subject(places.certificate(NODE)) == node
    assert subject(places.certificate("scheduler")) == {common_name: "system:kube-scheduler"}
    assert subject(places.certificate("admin"))[organization] == "system:masters"


def test_servers_have_addresses_and_clients_can_serve_nothing(places: Places) -> None:
    names = certificate(places.certificate("apiserver")).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    addresses = {str(address) for address in names.value.get_values_for_type(x509.IPAddress)}
    assert {KUBERNETES_SERVICE, API_ADDRESS} <= addresses
    node = certificate(places.certificate(NODE)).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert node.value.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(ADDRESS)]
    assert ExtendedKeyUsageOID.SERVER_AUTH in purposes(places.certificate(NODE))
    assert purposes(places.certificate("admin")) == {ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_kubeconfig_has_everything_in_it(places: Places) -> None:
    config = json.loads(places.admin.read_text())
    user, cluster = config["users"][0]["user"], config["clusters"][0]["cluster"]
    assert base64.b64decode(user["client-certificate-data"]) == places.certificate("admin").read_bytes()
    assert base64.b64decode(user["client-key-data"]) == places.key("admin").read_bytes()
    assert base64.b64decode(cluster["certificate-authority-data"]) == places.certificate("ca").read_bytes()
    assert cluster["server"] == f"https://{API_ADDRESS}:443"


def test_tokens_are_checked_with_the_public_half_of_the_key_that_signs_them(places: Places) -> None:
    public = serialization.load_pem_public_key((places.pki / "service-accounts.pub").read_bytes())
    private = serialization.load_pem_private_key(places.key("service-accounts").read_bytes(), password=None)
    assert private.public_key() == public


def test_only_root_reads_keys(places: Places) -> None:
    assert places.pki.stat().st_mode & 0o777 == 0o700
