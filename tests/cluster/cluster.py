"""A Kubernetes cluster whose nodes are the hosts of a lab."""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster import binaries, certificates, images, runtime, snapshots
from tests.cluster.control_plane import PROGRAMS, ControlPlane
from tests.cluster.nodes import Node
from tests.cluster.places import Places
from tests.cluster.processes import Service
from tests.lab import GIB, HostSpec, Lab, LabError, tools

KUBECTL = PROGRAMS["kubectl"]
MEMORY_MIB = 2048
DISK = 8 * GIB
NODES_LIMIT = 120.0
"""Seconds until all nodes must be Ready."""


class KubectlFailed(LabError):
    """kubectl ended with another code than 0; carries what it printed."""

    def __init__(self, arguments: Sequence[str], rc: int, stdout: str, stderr: str) -> None:
        self.rc, self.stdout, self.stderr = rc, stdout, stderr
        printed = "\n".join(part for part in (stdout.strip(), stderr.strip()) if part)
        super().__init__(f"kubectl {shlex.join(arguments)} ended with {rc}\n{printed}")


def cluster_hosts(count: int = 3, *, memory_mib: int = MEMORY_MIB, disk: int = DISK) -> tuple[HostSpec, ...]:
    """`host1` ... with one disk each (bytes), but the last, which has none unless it is the only one."""
    disked = max(count - 1, 1)
    return tuple(
        HostSpec(f"host{number}", (disk,) if number <= disked else (), memory_mib) for number in range(1, count + 1)
    )


class Cluster:
    """Up on entry, gone on exit, as its lab is; a `detached` one outlives this process until `down`.

    Nodes carry the names of their hosts. Pods see each other and the API server by address: there is no DNS and no
    kube-proxy, so no Service has an address that works but `kubernetes`.
    """

    def __init__(
        self,
        specs: Sequence[HostSpec] | None = None,
        *,
        name: str | None = None,
        detached: bool = False,
        log_dir: Path | None = None,
    ) -> None:
        self.lab = Lab(cluster_hosts() if specs is None else specs, name=name, detached=detached, log_dir=log_dir)
        self.nodes: dict[str, Node] = {}
        self._services: list[Service] = []
        self._control_plane: ControlPlane | None = None

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.lab.keep_logs()
        self.down()

    @property
    def places(self) -> Places:
        return Places(self.lab.folder)

    @property
    def control_plane(self) -> ControlPlane:
        """To stop and start its processes; only in the process that brought the cluster up."""
        if self._control_plane is None:
            raise LabError("this process did not start the control plane")
        return self._control_plane

    # Life

    def up(self) -> None:
        """Build what is not cached, boot, and return when every node is Ready; leaves nothing when it fails."""
        build()
        self.lab.up()
        try:
            self._start()
        except BaseException:
            self.lab.keep_logs()
            self.down()
            raise

    def down(self) -> None:
        """End everything and remove everything."""
        self.lab.down()
        for service in [*self._services, *(self._control_plane.services.values() if self._control_plane else ())]:
            service.collect()
        self._services, self._control_plane = [], None

    @classmethod
    def attach(cls, name: str) -> Self:
        """A cluster that is up, of any process; `down` ends it, leaving a `with` block does too."""
        cluster = cls(name=name)
        cluster.lab = Lab.attach(name)
        if not cluster.places.admin.exists():
            raise LabError(f"the lab {name} is no cluster")
        cluster.nodes = {host.name: Node(cluster.lab, host) for host in cluster.lab.hosts}
        return cluster

    def boot_node(self, name: str) -> None:
        """Boot a host that is off or has crashed, and start its containerd and kubelet again."""
        node = self.nodes[name]
        node.host.boot()
        node.start_containerd()
        node.start_kubelet()

    # Use

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 60.0) -> str:
        """What kubectl prints; raises KubectlFailed, or LabError after `timeout` seconds."""
        command = self.kubectl_command(arguments)
        try:
            ended = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout, check=False, cwd="/"
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"kubectl {shlex.join(arguments)}: not done after {timeout:.0f} s") from error
        if ended.returncode != 0:
            raise KubectlFailed(arguments, ended.returncode, ended.stdout, ended.stderr)
        return ended.stdout

    def kubectl_command(self, arguments: Sequence[str]) -> list[str]:
        """The command line that runs kubectl as the administrator."""
        program = str(binaries.program(KUBECTL))
        return self.lab.network_command([program, f"--kubeconfig={self.places.admin}", *arguments])

    def apply(self, manifests: str) -> None:
        """`kubectl apply` of YAML or JSON."""
        self.kubectl("apply", "--filename=-", stdin=manifests)

    def delete(self, manifests: str, *, timeout: float = 120.0) -> None:
        """`kubectl delete` of YAML or JSON; returns when the objects are gone."""
        arguments = ["delete", "--ignore-not-found", f"--timeout={timeout:.0f}s", "--filename=-"]
        self.kubectl(*arguments, stdin=manifests, timeout=timeout + 20)

    def wait(self, what: str, condition: str, *, namespace: str = "default", timeout: float = 60.0) -> None:
        """Until `what`, as in `pod/web`, is so: `condition=Ready`, `jsonpath={.status.phase}=Running`, `delete`."""
        arguments = ["wait", f"--namespace={namespace}", f"--for={condition}", f"--timeout={timeout:.0f}s", what]
        self.kubectl(*arguments, timeout=timeout + 20)

    def import_image(self, archive: Path, nodes: Sequence[str] | None = None) -> None:
        """Import an OCI archive of the machine on the nodes named, on all by default."""
        chosen = [node for name, node in self.nodes.items() if nodes is None or name in nodes]
        _each(chosen, lambda node: node.import_image(archive))

    def run_beside(self, name: str, argv: Sequence[str]) -> Service:
        """Start a program of the machine beside the API server; it ends with the cluster. Its log is NAME.log."""
        service = Service(self.lab, name, argv, self.places.logs)
        service.start()
        self._services.append(service)
        return service

    # Within

    def _start(self) -> None:
        self.places.folder.mkdir(mode=0o700)
        certificates.issue_all(self.places, [(host.name, host.address) for host in self.lab.hosts])
        self._write_scripts()
        self.nodes = {host.name: Node(self.lab, host) for host in self.lab.hosts}
        self._control_plane = ControlPlane(self.lab, self._is_ready)
        with ThreadPoolExecutor(1) as beside:
            hosts = beside.submit(self._start_hosts)
            self._control_plane.start()
            self._start_snapshots()
            hosts.result()
        self._await_nodes()

    def _start_hosts(self) -> None:
        pause, busybox = images.archive(images.pause()), images.archive(images.busybox())

        def start(node: Node) -> None:
            node.start_containerd()
            node.import_image(pause)
            node.start_kubelet()
            node.import_image(busybox)

        _each(list(self.nodes.values()), start)

    def _start_snapshots(self) -> None:
        self.kubectl("apply", "--server-side", f"--kustomize={snapshots.crds()}")
        self.kubectl("wait", "--for=condition=Established", "--timeout=60s", "crd", "--all", timeout=80.0)
        self.run_beside("snapshot-controller", snapshots.controller(self.places))

    def _await_nodes(self) -> None:
        names = [f"node/{name}" for name in self.nodes]
        limit = f"--timeout={NODES_LIMIT:.0f}s"
        patience = NODES_LIMIT + 20
        for name in names:  # one by one: of several that are missing kubectl says so at once instead of waiting
            self.kubectl("wait", "--for=create", limit, name, timeout=patience)
        self.kubectl("wait", "--for=condition=Ready", limit, *names, timeout=patience)
        self.kubectl("wait", "--for=create", limit, "serviceaccount/default", timeout=patience)

    def _is_ready(self) -> bool:
        try:
            return self.kubectl("get", "--raw=/readyz", "--request-timeout=2s", timeout=10.0) == "ok"
        except LabError:
            time.sleep(0.1)
            return False

    def _write_scripts(self) -> None:
        enter = ["env", f"KUBECONFIG={self.places.admin}"]
        for path, command in (
            (self.places.kubectl, self.kubectl_command(())),
            (self.places.enter, self.lab.network_command(enter)),
        ):
            path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            path.chmod(0o700)


def build() -> None:
    """Everything that is cached: half an hour the first time, nothing afterwards."""
    tools.install_prerequisites()
    for program in (binaries.ETCD, *binaries.KUBERNETES, *binaries.SIDECARS, binaries.SNAPSHOT_CONTROLLER):
        binaries.program(program)
    runtime.runtime()
    snapshots.crds()
    for image in (images.pause(), images.busybox()):
        images.archive(image)


def _each(nodes: Sequence[Node], act: Callable[[Node], None]) -> None:
    """On all at once; raises what the first that failed raised."""
    with ThreadPoolExecutor(max(len(nodes), 1)) as threads:
        for done in [threads.submit(act, node) for node in nodes]:
            done.result()
