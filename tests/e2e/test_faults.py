"""Nodes and kubelets that stop while volumes are in use."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.nodes import PROGRAM
from tests.e2e.user import DATA, User, claim, pod
from tests.lab.waiting import eventually

OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
WRITE = f"echo $i >>{DATA}/n && sync {DATA}/n"
WRITER = f"i=0; while :; do i=$((i+1)); if {WRITE}; then :; else echo failed; fi; sleep 0.2; done"
NOT_READY_LIMIT = 90.0


@pytest.fixture
def cut_off(cluster: Cluster) -> Generator[str]:
    """host3, whose kubelet can be stopped: silent to the API server, while pods and their I/O go on.

    The gateway cannot be cut off instead: the lab itself speaks to the host by it.
    """
    name = "host3"
    yield name
    kubelet(cluster, name, "CONT")
    if OUT_OF_SERVICE in cluster.kubectl("get", f"node/{name}", "--output=json"):
        cluster.kubectl("taint", "node", name, f"{OUT_OF_SERVICE}-")
    cluster.wait(f"node/{name}", "condition=Ready", timeout=120)


def kubelet(cluster: Cluster, name: str, signal: str) -> None:
    """Send a signal to it, as `STOP`; it must run."""
    pids = kubelets(cluster, name)
    assert pids
    cluster.lab.host(name).run(["kill", f"-{signal}", *pids])


def kubelets(cluster: Cluster, name: str) -> list[str]:
    """Its process, by the name that the kernel keeps."""
    program = binaries.program(PROGRAM).name[:15]
    look = (
        'for each in /proc/[0-9]*; do read -r name <$each/comm && [ "$name" = "$1" ] && echo ${each#/proc/}; done; true'
    )
    return cluster.lab.host(name).run(["sh", "-c", look, "sh", program]).stdout.split()


def restart_kubelet(cluster: Cluster, name: str) -> None:
    """kill -9, and start it again; containers run on."""
    kubelet(cluster, name, "KILL")
    eventually(lambda: not kubelets(cluster, name))
    cluster.nodes[name].start_kubelet()


@pytest.mark.parametrize("node", ["host1", "host3"])
def test_a_pod_comes_and_goes_while_its_kubelet_restarts(user: User, cluster: Cluster, node: str) -> None:
    user.apply(claim("data"), pod("writer", "data", node=node))
    user.wait("pod/writer", "condition=PodScheduled")
    restart_kubelet(cluster, node)
    user.wait("pod/writer", "condition=Ready", timeout=240)
    user.shell("writer", f"echo kept >{DATA}/f; sync")
    user.kubectl("delete", "pod/writer", "--wait=false")
    restart_kubelet(cluster, node)
    user.wait("pod/writer", "delete", timeout=240)
    user.run(pod("reader", "data", node="host2"))
    assert user.shell("reader", f"cat {DATA}/f") == "kept\n"


def test_a_node_out_of_service_is_fenced_before_its_volume_is_given_away(
    user: User, cluster: Cluster, cut_off: str
) -> None:
    """Its pod is alive and writes over a network that works: what it writes must not meet the new pod's data."""
    user.apply(claim("data"))
    user.run(pod("maker", "data", node="host1"))
    user.remove("pod/maker")
    writer = pod("writer", "data", node=cut_off)
    writer["spec"]["containers"][0]["command"] = ["sh", "-c", WRITER]
    user.run(writer)
    kubelet(cluster, cut_off, "STOP")
    cluster.wait(f"node/{cut_off}", "condition=Ready=Unknown", timeout=NOT_READY_LIMIT)
    cluster.kubectl("taint", "node", cut_off, f"{OUT_OF_SERVICE}=cut:NoExecute")
    user.wait("pod/writer", "delete", timeout=240)

    user.run(pod("reader", "data", node="host2"), timeout=240)
    taken_over = user.shell("reader", f"wc -l <{DATA}/n; sha256sum <{DATA}/n")
    assert int(taken_over.split()[0]) > 0
    assert said_failed(cluster, cut_off, user.namespace)
    user.shell("reader", f"echo new >{DATA}/new; sync")
    assert user.shell("reader", f"wc -l <{DATA}/n; sha256sum <{DATA}/n; cat {DATA}/new") == f"{taken_over}new\n"


def said_failed(cluster: Cluster, node: str, namespace: str) -> bool:
    """Whether the old writer was told that its writes come to nothing."""

    def look() -> bool:
        script = f"cat /var/log/pods/{namespace}_writer_*/main/*.log"
        return "failed" in cluster.lab.host(node).run(["sh", "-c", script], check=False).stdout

    eventually(look, within=60)
    return True


def test_a_node_that_lost_power_gives_its_volume_away_and_takes_it_back(user: User, cluster: Cluster) -> None:
    user.apply(claim("data"))
    user.run(pod("maker", "data", node="host1"))
    user.shell("maker", f"echo made >{DATA}/f; sync")
    user.remove("pod/maker")
    user.run(pod("writer", "data", node="host3"))
    user.shell("writer", f"echo written >>{DATA}/f; sync")
    cluster.nodes["host3"].host.crash()
    try:
        cluster.wait("node/host3", "condition=Ready=Unknown", timeout=NOT_READY_LIMIT)
        cluster.kubectl("taint", "node", "host3", f"{OUT_OF_SERVICE}=off:NoExecute")
        user.wait("pod/writer", "delete", timeout=240)
        user.run(pod("reader", "data", node="host2"), timeout=240)
        assert user.shell("reader", f"cat {DATA}/f") == "made\nwritten\n"
        user.remove("pod/reader")
    finally:
        cluster.boot_node("host3")
        cluster.kubectl("taint", "node", "host3", f"{OUT_OF_SERVICE}-", "--overwrite")
    cluster.wait("node/host3", "condition=Ready", timeout=120)
    user.run(pod("again", "data", node="host3"), timeout=240)
    assert user.shell("again", f"cat {DATA}/f") == "made\nwritten\n"
