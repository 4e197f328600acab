"""Certificates from files, read again when they change: a renewed one is used from the next connection on."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

import grpc

from csi_driver.errors import InvalidRequest
from csi_driver.settings import TlsSettings

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for a handshake."""

Stamp = tuple[tuple[int, int, int], ...]


def stamp(tls: TlsSettings) -> Stamp:
    """A value that differs when one of the three files was written or replaced. Raises InvalidRequest, naming the
    file, when one is missing.
    """
    found = []
    for path in (tls.ca, tls.certificate, tls.key):
        try:
            status = path.stat()
        except OSError as error:
            raise InvalidRequest(f"{path}: {error.strerror}") from error
        found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def channel_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """What a client presents and trusts. Raises InvalidRequest when a file cannot be read."""
    ca, certificate, key = _read(tls)
    return grpc.ssl_channel_credentials(ca, key, certificate)


def pinned_credentials(tls: TlsSettings, certificate: bytes) -> grpc.ChannelCredentials:
    """The same client that trusts this one server certificate (PEM) and nothing else: not our CA either. Raises
    InvalidRequest when a file cannot be read.
    """
    _, own, key = _read(tls)
    return grpc.ssl_channel_credentials(certificate, key, own)


async def shown_certificate(tls: TlsSettings, host: str, port: int, name: str) -> bytes:
    """The certificate (PEM) that the server there shows, and proves the key of, to our client certificate. Nothing is
    checked: whose it is remains to be proven. Raises OSError or TimeoutError when no TLS server answers within
    ``PATIENCE`` seconds, InvalidRequest as above.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])  # gRPC refuses who does not ask for it
    try:
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:
        raise InvalidRequest(f"{tls.certificate} and {tls.key}: {error.strerror or error}") from error
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=name)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    if shown is None:
        raise OSError("it shows no certificate")
    return ssl.DER_cert_to_PEM_cert(shown).encode()


def server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """What a server presents and trusts; clients without a certificate of the CA are refused in the handshake.

    Raises InvalidRequest when a file cannot be read now. Later a file that cannot be read is logged, and what was
    read before stays in use.
    """
    first = _configuration(tls)
    return grpc.dynamic_ssl_server_credentials(first, _fetcher(tls, first), require_client_authentication=True)


def _fetcher(
    tls: TlsSettings, first: grpc.ServerCertificateConfiguration
) -> Callable[[], grpc.ServerCertificateConfiguration]:
    """Called by gRPC in a thread of its own before each handshake."""
    known, in_use = stamp(tls), first

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal known, in_use
        try:
            now = stamp(tls)
            if now != known:
                in_use, known = _configuration(tls), now
        except InvalidRequest as error:
            log.warning("certificates could not be read again", extra={"error": str(error)})
        return in_use

    return fetch


def _configuration(tls: TlsSettings) -> grpc.ServerCertificateConfiguration:
    ca, certificate, key = _read(tls)
    return grpc.ssl_server_certificate_configuration([(key, certificate)], ca)


def _read(tls: TlsSettings) -> tuple[bytes, bytes, bytes]:
    try:
        return tls.ca.read_bytes(), tls.certificate.read_bytes(), tls.key.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"{error.filename}: {error.strerror}") from error
