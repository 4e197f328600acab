"""The keys, certificates and kubeconfigs of a cluster that lives for hours."""

from __future__ import annotations

import base64
import ipaddress
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.places import API_ADDRESS, API_PORT, KUBERNETES_SERVICE, Places

LIFE = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)
MASTERS, NODES = "system:masters", "system:nodes"
"""Groups that the API server knows from the start: may do everything; may do what a kubelet needs."""
CLIENTS = {
    "admin": ("clinker-admin", MASTERS),
    "kubelet-client": ("kube-apiserver-kubelet-client", MASTERS),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
}
"""Common name and organization by file name: the user and the group that the API server sees."""
WITH_KUBECONFIG = ("admin", "controller-manager", "scheduler")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


class Authority:
    """A certificate authority that signs for servers and clients alike."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name, "")
        certificate = (
            _builder(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pair = Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(self._key))

    def issue(self, common_name: str, organization: str = "", addresses: Sequence[str] = ()) -> Pair:
        """A certificate for a client, and for a server at `addresses` (IP addresses or names)."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if addresses else [])]
        builder = _builder(_name(common_name, organization), self._name, key.public_key())
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if addresses:
            names = x509.SubjectAlternativeName([_address(text) for text in addresses])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), private_pem(key))


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key in PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half of the key."""
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def issue_all(places: Places, nodes: Sequence[tuple[str, str]]) -> None:
    """Write every file that the control plane and the nodes (name, address) need into `places.pki`."""
    places.pki.mkdir(parents=True, mode=0o700)
    authority = Authority("clinker test cluster")
    _write(places, "ca", authority.pair)
    aggregation = Authority("clinker test cluster, aggregated APIs")
    _write(places, "front-proxy-ca", aggregation.pair)
    _write(places, "front-proxy", aggregation.issue("front-proxy"))
    names = [KUBERNETES_SERVICE, API_ADDRESS, "127.0.0.1", "localhost", "kubernetes.default.svc"]
    _write(places, "apiserver", authority.issue("kube-apiserver", addresses=names))
    for file, (common_name, organization) in CLIENTS.items():
        pair = authority.issue(common_name, organization)
        _write(places, file, pair)
        if file in WITH_KUBECONFIG:
            places.kubeconfig(file).write_text(kubeconfig(authority.pair.certificate, pair))
    for node, address in nodes:
        pair = authority.issue(f"system:node:{node}", NODES, [address, node])
        _write(places, node, pair)
        places.kubeconfig(node).write_text(kubeconfig(authority.pair.certificate, pair))
    accounts = ec.generate_private_key(ec.SECP256R1())
    places.key("service-accounts").write_bytes(private_pem(accounts))
    (places.pki / "service-accounts.pub").write_bytes(public_pem(accounts))


def kubeconfig(ca: bytes, client: Pair) -> str:
    """A kubeconfig (JSON is YAML) with everything in it."""
    cluster = {"server": f"https://{API_ADDRESS}:{API_PORT}", "certificate-authority-data": _base64(ca)}
    user = {"client-certificate-data": _base64(client.certificate), "client-key-data": _base64(client.key)}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": cluster}],
        "users": [{"name": "lab", "user": user}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        "current-context": "lab",
    }
    return json.dumps(config, indent=1)


def _write(places: Places, name: str, pair: Pair) -> None:
    places.certificate(name).write_bytes(pair.certificate)
    places.key(name).write_bytes(pair.key)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + LIFE)
    )


def _name(common_name: str, organization: str) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _address(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
