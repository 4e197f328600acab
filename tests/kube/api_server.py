"""etcd and kube-apiserver as plain processes of this machine, on ports of their own; nothing else of a cluster."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from tests.cluster import binaries
from tests.cluster.certificates import MASTERS, Authority, Pair, private_pem, public_pem

READY_LIMIT = 120.0
"""Seconds until the API server must be ready; five when the machine is idle."""
END_LIMIT = 20.0
API_SERVER = next(each for each in binaries.KUBERNETES if each.name == "kube-apiserver")


class ApiServer:
    """Up after ``start``; ``folder`` takes data, keys and logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._etcd_port, self._peer_port, self._port = _free_ports(3)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._ca = Authority("clinker test API server")
        self._admin = self._ca.issue("clinker-admin", MASTERS)

    @property
    def address(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it is ready; raises RuntimeError with the end of a log when it does not come up."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_keys()
        self._run("etcd", binaries.program(binaries.ETCD), self._etcd_arguments())
        self._run("kube-apiserver", binaries.program(API_SERVER), self._server_arguments())
        deadline = time.monotonic() + READY_LIMIT
        while not self._ready():
            for process in self._processes:
                if process.poll() is not None or time.monotonic() > deadline:
                    name = Path(str(process.args[0])).name if isinstance(process.args, list) else ""
                    raise RuntimeError(f"the API server does not come up ({name}): {self._tail()}")
            time.sleep(0.1)

    def stop(self) -> None:
        """End both; their data are of no use any more."""
        for process in reversed(self._processes):
            process.terminate()
        for process in self._processes:
            try:
                process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def kubeconfig(self, name: str, *, token: str = "") -> Path:
        """A file that leads here: with a token as its owner, without one as the administrator."""
        user = (
            {"token": token}
            if token
            else {
                "client-certificate-data": _base64(self._admin.certificate),
                "client-key-data": _base64(self._admin.key),
            }
        )
        cluster = {"server": self.address, "certificate-authority-data": _base64(self._ca.pair.certificate)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        path = self.folder / f"{name}.conf"
        path.write_text(json.dumps(config))
        return path

    def _run(self, name: str, program: Path, arguments: Sequence[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen([str(program), *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            )

    def _ready(self) -> bool:
        context = ssl.create_default_context(cadata=self._ca.pair.certificate.decode())
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as the driver's own client
        context.load_cert_chain(self.folder / "admin.crt", self.folder / "admin.key")
        try:
            with urllib.request.urlopen(f"{self.address}/readyz", context=context, timeout=5) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def _write_keys(self) -> None:
        self._write("ca", self._ca.pair)
        self._write("admin", self._admin)
        self._write("server", self._ca.issue("kube-apiserver", addresses=["127.0.0.1", "localhost"]))
        accounts = ec.generate_private_key(ec.SECP256R1())
        (self.folder / "accounts.key").write_bytes(private_pem(accounts))
        (self.folder / "accounts.pub").write_bytes(public_pem(accounts))

    def _write(self, name: str, pair: Pair) -> None:
        (self.folder / f"{name}.crt").write_bytes(pair.certificate)
        (self.folder / f"{name}.key").write_bytes(pair.key)

    def _etcd_arguments(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            "--name=test",
            f"--data-dir={self.folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=test={peer}",
            "--log-level=warn",
        ]

    def _server_arguments(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            "--service-cluster-ip-range=10.96.0.0/16",
            f"--client-ca-file={self.folder / 'ca.crt'}",
            f"--tls-cert-file={self.folder / 'server.crt'}",
            f"--tls-private-key-file={self.folder / 'server.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self.folder / 'accounts.pub'}",
            f"--service-account-signing-key-file={self.folder / 'accounts.key'}",
            "--authorization-mode=RBAC",
            "--allow-privileged",
        ]

    def _tail(self) -> str:
        return "\n".join(
            f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(self.folder.glob("*.log"))
        )


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
