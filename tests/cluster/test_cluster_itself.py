"""The cluster is a real one, survives what tests do to it, and leaves nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, KubectlFailed
from tests.cluster.control_plane import API_SERVER
from tests.cluster.fixtures import cluster
from tests.cluster.places import KUBERNETES_SERVICE
from tests.lab import leftovers
from tests.lab.image import REPOSITORY
from tests.lab.waiting import eventually

__all__ = ["cluster"]

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, labels: {{of: itself}}}}
spec:
  nodeName: {node}
  terminationGracePeriodSeconds: 0
  containers:
    - name: main
      image: docker.io/library/busybox:1.36
      imagePullPolicy: Never
      command: [sh, -c, "echo started on {node}; mkdir /www; echo page of {node} >/www/index.html; httpd -f -h /www"]
"""
CLAIM = """
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: nobody-serves-this}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
"""


def objects(cluster: Cluster, *arguments: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(cluster.kubectl("get", "--output=json", *arguments))["items"]
    return listed


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> dict[str, str]:
    """The address of a pod on each node, all Running."""
    for node in cluster.nodes:
        cluster.apply(POD.format(name=f"on-{node}", node=node))
    for node in cluster.nodes:
        cluster.wait(f"pod/on-{node}", "condition=Ready")
    return {pod["spec"]["nodeName"]: pod["status"]["podIP"] for pod in objects(cluster, "pods", "-lof=itself")}


def test_every_host_is_a_node_that_is_ready(cluster: Cluster) -> None:
    nodes = {node["metadata"]["name"]: node["status"] for node in objects(cluster, "nodes")}
    assert sorted(nodes) == ["host1", "host2", "host3"]
    for status in nodes.values():
        assert {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in status["conditions"]}.items()
        assert status["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://2.")


@pytest.mark.usefixtures("pods")
def test_exec_and_logs_reach_a_running_pod(cluster: Cluster) -> None:
    assert cluster.kubectl("logs", "on-host1") == "started on host1\n"
    assert cluster.kubectl("exec", "on-host1", "--", "cat", "/www/index.html") == "page of host1\n"


def test_pods_reach_pods_of_other_nodes_and_the_api(cluster: Cluster, pods: dict[str, str]) -> None:
    for node, address in pods.items():
        assert cluster.kubectl("exec", "on-host1", "--", "wget", "-qO-", f"http://{address}/") == f"page of {node}\n"
    call = f'wget -qO- --no-check-certificate --header "Authorization: Bearer $(cat {TOKEN})" {API}'
    assert '"major": "1"' in cluster.kubectl("exec", "on-host3", "--", "sh", "-c", call)


TOKEN = "/var/run/secrets/kubernetes.io/serviceaccount/token"
API = f"https://{KUBERNETES_SERVICE}/version"


def test_a_claim_that_nobody_serves_stays_pending(cluster: Cluster) -> None:
    cluster.apply(CLAIM)
    cluster.wait("pvc/nobody-serves-this", "jsonpath={.status.phase}=Pending")
    with pytest.raises(KubectlFailed, match="timed out"):
        cluster.wait("pvc/nobody-serves-this", "jsonpath={.status.phase}=Bound", timeout=3)
    cluster.delete(CLAIM)


def test_the_snapshot_api_is_served(cluster: Cluster) -> None:
    listed = cluster.kubectl("api-resources", "--output=name")
    assert "volumesnapshots.snapshot.storage.k8s.io" in listed
    assert "volumegroupsnapshots.groupsnapshot.storage.k8s.io" in listed


def test_an_image_that_is_nowhere_is_not_pulled(cluster: Cluster) -> None:
    manifest = POD.format(name="without-image", node="host1").replace("busybox:1.36", "absent:1")
    cluster.apply(manifest)
    cluster.wait("pod/without-image", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ErrImageNeverPull")
    cluster.delete(manifest)


@pytest.mark.usefixtures("pods")
def test_the_api_server_may_stop_and_come_back(cluster: Cluster) -> None:
    server = cluster.control_plane.services[API_SERVER]
    server.stop()
    with pytest.raises(KubectlFailed, match="refused"):
        cluster.kubectl("get", "nodes")
    server.start()
    cluster.control_plane.await_ready()
    assert cluster.kubectl("exec", "on-host2", "--", "cat", "/www/index.html") == "page of host2\n"


@pytest.mark.usefixtures("pods")
def test_a_node_that_lost_power_comes_back_with_its_pods(cluster: Cluster) -> None:
    cluster.nodes["host2"].host.crash()
    cluster.boot_node("host2")
    cluster.wait("pod/on-host2", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    cluster.wait("pod/on-host2", "condition=Ready")
    assert cluster.kubectl("exec", "on-host2", "--", "cat", "/www/index.html") == "page of host2\n"


# What is left


def network_of(folder: Path) -> int:
    """The number of the lab's network namespace, which every process of the cluster is in."""
    claim = leftovers.read_claim(folder)
    assert claim is not None
    assert claim.supervisor is not None
    return Path(f"/proc/{claim.supervisor.pid}/ns/net").stat().st_ino


def programs_in(network: int) -> set[str]:
    """The programs that run in that network, by name."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "ns" / "net").stat().st_ino == network:
                    found.add((process / "exe").readlink().name.rpartition("-")[0])
            except OSError:  # it has ended, or is a thread of the kernel
                continue
    return found


RUNNING = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "snapshot-controller"}


def command(*arguments: str) -> str:
    argv = [sys.executable, "-m", "tests.cluster", *arguments]
    ended = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_commands_make_a_cluster_that_stays_until_down() -> None:
    name = "commands"
    folder = leftovers.SHM / f"{leftovers.PREFIX}{name}"
    said = command("up", "--hosts", "1", "--name", name)
    try:
        network = network_of(folder)
        assert programs_in(network) >= RUNNING
        assert "host1" in command("kubectl", "--name", name, "get", "nodes", "--output=name")
        script = next(word for word in said.split() if word.endswith("/cluster/kubectl"))
        shown = subprocess.run([script, "get", "nodes"], capture_output=True, text=True, check=True, timeout=60)
        assert "Ready" in shown.stdout
    finally:
        command("down", "--name", name)
    eventually(lambda: not programs_in(network))
    assert not folder.exists()


def test_a_cluster_ends_with_its_killed_owner() -> None:
    script = (
        "from tests.cluster.cluster import Cluster, cluster_hosts\n"
        "cluster = Cluster(cluster_hosts(1)); cluster.up(); print(cluster.lab.folder, flush=True); input()"
    )
    argv = [sys.executable, "-c", script]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = Path(next(line for line in owner.stdout if "/clinker-lab-" in line).strip())
        network = network_of(folder)
        assert programs_in(network) >= RUNNING
        owner.send_signal(signal.SIGKILL)
    eventually(lambda: not programs_in(network) and not folder.exists())
