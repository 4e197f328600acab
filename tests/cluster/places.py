"""Where a cluster's things lie, and its fixed addresses and names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.lab.spec import GATEWAY

API_ADDRESS = GATEWAY
"""Where the API server listens, seen from the hosts."""
SERVICES = "10.96.0.0/16"
KUBERNETES_SERVICE = "10.96.0.1"
"""The `kubernetes` Service's address; there is no kube-proxy, so the lab's bridge has it itself."""
API_PORT = 443
"""Of the API server and so of the `kubernetes` Service, whose traffic nobody translates."""
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"


def pod_subnet(number: int) -> str:
    """The addresses of the pods on host number `number`, counted from 1."""
    return f"10.244.{number}.0/24"


@dataclass(frozen=True, slots=True)
class Places:
    """The cluster's folder inside its lab's: it goes with the lab."""

    lab: Path

    @property
    def folder(self) -> Path:
        return self.lab / "cluster"

    @property
    def pki(self) -> Path:
        """Keys, certificates and kubeconfigs; for root alone."""
        return self.folder / "pki"

    @property
    def etcd(self) -> Path:
        return self.folder / "etcd"

    @property
    def admin(self) -> Path:
        """The administrator's kubeconfig."""
        return self.kubeconfig("admin")

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.yaml"

    @property
    def audit_log(self) -> Path:
        """Each request of a service account, one JSON object a line."""
        return self.logs / "audit.log"

    @property
    def kubectl(self) -> Path:
        """A script that runs kubectl in the lab's network."""
        return self.folder / "kubectl"

    @property
    def enter(self) -> Path:
        """A script that runs any program in the lab's network."""
        return self.folder / "enter"

    @property
    def logs(self) -> Path:
        """Of the control plane; beside the hosts' logs, and kept with them."""
        return self.lab / "logs" / "control-plane"

    def kubeconfig(self, name: str) -> Path:
        return self.pki / f"{name}.conf"

    def certificate(self, name: str) -> Path:
        return self.pki / f"{name}.crt"

    def key(self, name: str) -> Path:
        return self.pki / f"{name}.key"
