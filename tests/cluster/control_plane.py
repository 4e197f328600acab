"""etcd, the API server, the controller manager and the scheduler, as processes of a lab."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.places import API_ADDRESS, API_PORT, KUBERNETES_SERVICE, SERVICES, Places, pod_subnet
from tests.cluster.processes import Service, inside
from tests.lab import Lab, LabError
from tests.lab.network import BRIDGE

ETCD_URL = "http://127.0.0.1:2379"
ETCD_PEER_URL = "http://127.0.0.1:2380"
READY_LIMIT = 120.0
"""Seconds until the API server must be ready; four seconds when the machine is idle."""

ETCD, API_SERVER = "etcd", "kube-apiserver"
CONTROLLER_MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"
PROGRAMS = {program.name: program for program in (binaries.ETCD, *binaries.KUBERNETES)}


class ControlPlane:
    """The four of them by name in `services`; each can be stopped and started by itself."""

    def __init__(self, lab: Lab, ready: Callable[[], bool]) -> None:
        self._lab, self._places, self._ready = lab, Places(lab.folder), ready
        self.services: dict[str, Service] = {}
        for name, arguments in (
            (ETCD, etcd(self._places)),
            (API_SERVER, api_server(self._places)),
            (CONTROLLER_MANAGER, controller_manager(self._places)),
            (SCHEDULER, scheduler(self._places)),
        ):
            argv = [str(binaries.program(PROGRAMS[name])), *arguments]
            self.services[name] = Service(lab, name, argv, self._places.logs)

    def start(self) -> None:
        """Return when the API server answers and all four run.

        The last two are started only then: before the API server has made its bootstrap roles they are refused and
        end for good.
        """
        self._places.etcd.mkdir(mode=0o700, exist_ok=True)
        self._places.audit_policy.write_text(AUDIT_POLICY)
        configure_network(self._lab)
        self.services[ETCD].start()
        self.services[API_SERVER].start()
        self.await_ready()
        self.services[CONTROLLER_MANAGER].start()
        self.services[SCHEDULER].start()

    def await_ready(self) -> None:
        """Return once /readyz says so; raises LabError with a log's end when a process ended or none comes up."""
        deadline = time.monotonic() + READY_LIMIT
        while not self._ready():
            for service in (self.services[ETCD], self.services[API_SERVER]):
                if not service.running or time.monotonic() > deadline:
                    raise LabError(f"{service.name} does not come up; {service.log_path} ends with\n{service.tail()}")
            time.sleep(0.2)


def configure_network(lab: Lab) -> None:
    """The address of the `kubernetes` Service, and a route to the pods of each host."""
    lines = [f"address replace {KUBERNETES_SERVICE}/32 dev {BRIDGE}"]
    lines += [f"route replace {pod_subnet(host.number)} via {host.address}" for host in lab.hosts]
    subprocess.run(
        inside(lab, ["ip", "-batch", "-"]),
        input="\n".join(lines) + "\n",
        text=True,
        check=True,
        capture_output=True,
        timeout=20,
    )


def etcd(places: Places) -> list[str]:
    """Its data are in memory already, so it need not wait for a disk."""
    return [
        "--name=lab",
        f"--data-dir={places.etcd}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        f"--listen-peer-urls={ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={ETCD_PEER_URL}",
        f"--initial-cluster=lab={ETCD_PEER_URL}",
        "--log-level=warn",
    ]


def api_server(places: Places) -> list[str]:
    """Listens on the port of the `kubernetes` Service itself: nothing in the lab translates ports."""
    return [
        f"--etcd-servers={ETCD_URL}",
        "--bind-address=0.0.0.0",
        f"--advertise-address={API_ADDRESS}",
        f"--secure-port={API_PORT}",
        f"--service-cluster-ip-range={SERVICES}",
        f"--client-ca-file={places.certificate('ca')}",
        f"--tls-cert-file={places.certificate('apiserver')}",
        f"--tls-private-key-file={places.key('apiserver')}",
        f"--kubelet-certificate-authority={places.certificate('ca')}",
        f"--kubelet-client-certificate={places.certificate('kubelet-client')}",
        f"--kubelet-client-key={places.key('kubelet-client')}",
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={places.pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={places.key('service-accounts')}",
        *_aggregation(places),
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged",
        f"--audit-policy-file={places.audit_policy}",
        f"--audit-log-path={places.audit_log}",
        "--audit-log-maxsize=200",
    ]


def _aggregation(places: Places) -> Sequence[str]:
    """For API servers behind this one; without it the others complain every few seconds that it is missing."""
    return [
        f"--requestheader-client-ca-file={places.certificate('front-proxy-ca')}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={places.certificate('front-proxy')}",
        f"--proxy-client-key-file={places.key('front-proxy')}",
    ]


def controller_manager(places: Places) -> list[str]:
    return [
        *_kubeconfigs(places.kubeconfig("controller-manager")),
        f"--service-account-private-key-file={places.key('service-accounts')}",
        f"--root-ca-file={places.certificate('ca')}",
        f"--cluster-signing-cert-file={places.certificate('ca')}",
        f"--cluster-signing-key-file={places.key('ca')}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        "--node-monitor-grace-period=20s",
    ]


def scheduler(places: Places) -> list[str]:
    return [*_kubeconfigs(places.kubeconfig("scheduler")), "--leader-elect=false"]


AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    users: ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]
  - level: None
    userGroups: ["system:nodes"]
  - level: Metadata
    userGroups: ["system:serviceaccounts"]
    omitManagedFields: true
  - level: None
"""
"""Who called what with a service account: what a chart's RBAC rules are checked against."""


def _kubeconfigs(path: Path) -> Sequence[str]:
    return [f"--{flag}={path}" for flag in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]
