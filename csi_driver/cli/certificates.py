"""Makes the certificates of the Agent service: keys and certificates as PEM, nothing written anywhere.

Roles stand in the certificate as ``rpc.peers`` says. A controller's certificate is good for clients only, a node's
for servers only, so that a key from a node is already refused in the handshake (RFC 5280, 4.2.1.12).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from csi_driver.errors import InvalidRequest
from csi_driver.rpc.peers import CONTROLLER_URI, agent_dns, node_uri

CLOCK_SKEW = timedelta(minutes=5)
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NODE = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LONGEST_NODE = 253 - len(agent_dns(""))  # a DNS name has at most 253 characters (RFC 1035, 2.3.4)


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def make_ca(*, days: int) -> Pair:
    """A new authority, good for ``days`` from now. Nobody but it signs: no authorities below it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("clinker CA")
    usage = _usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def issue_controller(ca: Pair, *, days: int) -> Pair:
    """A certificate that agents obey."""
    names = [x509.UniformResourceIdentifier(CONTROLLER_URI)]
    return issue(ca, "clinker controller", names, ExtendedKeyUsageOID.CLIENT_AUTH, days=days)


def issue_node(ca: Pair, node: str, addresses: Sequence[str] = (), *, days: int) -> Pair:
    """A certificate that proves to a controller that it speaks to the agent on ``node``.

    ``addresses`` are further IP addresses and DNS names, for other tools that look at the certificate.
    Raises InvalidRequest when the name of the node is none that Kubernetes allows.
    """
    names = [*_node_names(node), *map(_address, addresses)]
    return issue(ca, f"clinker node {node}", names, ExtendedKeyUsageOID.SERVER_AUTH, days=days)


def make_self_signed(node: str, *, days: int) -> Pair:
    """A certificate that nobody vouches for: its agent proves its node by other means. Raises as ``issue_node``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"clinker node {node}")
    certificate = (
        _builder(name, name, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_node_names(node)), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(certificate, key)


def _node_names(node: str) -> list[x509.GeneralName]:
    if not _NODE.fullmatch(node) or len(node) > _LONGEST_NODE:
        raise InvalidRequest(
            f"{node!r} cannot be a node's name: lower-case letters, digits, '-' and '.', "
            f"at most {_LONGEST_NODE} characters"
        )
    return [x509.DNSName(agent_dns(node)), x509.UniformResourceIdentifier(node_uri(node))]


def issue(
    ca: Pair, subject: str, names: Sequence[x509.GeneralName], purpose: x509.ObjectIdentifier, *, days: int
) -> Pair:
    """A certificate for any names and one purpose. InvalidRequest when ``ca`` is not a CA and its key."""
    try:
        issuer = x509.load_pem_x509_certificate(ca.certificate)
        signer = serialization.load_pem_private_key(ca.key, password=None)
    except ValueError as error:
        raise InvalidRequest(f"the CA's certificate or key cannot be read: {error}") from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != issuer.public_key():
        raise InvalidRequest("the CA's key is not the key of its certificate")
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        _builder(_name(subject), issuer.subject, key.public_key(), days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority, critical=False)
        .sign(signer, hashes.SHA256())
    )
    return _pem(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text[:64])])  # ub-common-name (RFC 5280, A.1)


def _address(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    if not _NODE.fullmatch(text.lower()):
        raise InvalidRequest(f"{text!r} is neither an IP address nor a DNS name")
    return x509.DNSName(text)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), private)
