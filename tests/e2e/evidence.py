"""What is kept of a cluster when a test has failed on it, and what a volume may leave behind."""

from __future__ import annotations

import time

from tests.cluster.cluster import Cluster
from tests.e2e.install import NAMESPACE
from tests.lab import LabError
from tests.stack.leftovers import leftovers

SEEN = {
    "objects": (
        "get",
        "pods,pvc,pv,volumeattachments,csinodes,csistoragecapacities",
        "--all-namespaces",
        "--output=wide",
    ),
    "events": ("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
    "pods": ("describe", "pods", "--all-namespaces"),
    "claims": ("describe", "pvc", "--all-namespaces"),
}


def keep_evidence(cluster: Cluster) -> None:
    """Objects, events and the logs of Clinker's pods, into the lab's logs. What cannot be had is said in its place."""
    folder = cluster.lab.folder / "logs" / "kubernetes"
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in SEEN.items():
        (folder / f"{name}.txt").write_text(_try(cluster, *arguments))
    listed = _try(cluster, "get", "pods", f"--namespace={NAMESPACE}", "--output=name")
    for pod in listed.split():
        if not pod.startswith("pod/"):
            continue
        arguments = ("logs", pod, f"--namespace={NAMESPACE}", "--all-containers", "--prefix", "--tail=5000")
        now, before = _try(cluster, *arguments), _try(cluster, *arguments, "--previous")
        (folder / f"{pod.removeprefix('pod/')}.log").write_text(f"{now}\n--- before a restart ---\n{before}")


def remains(cluster: Cluster) -> list[str]:
    """What a volume that was deleted left: objects of the cluster, things of the hosts; empty when nothing did."""
    objects = cluster.kubectl("get", "persistentvolumes,volumeattachments", "--output=name").split()
    hosts = [f"{host.name}: {thing}" for host in cluster.lab.hosts for thing in leftovers(host)]
    return objects + hosts


def await_nothing_left(cluster: Cluster, *, within: float) -> None:
    """Return when nothing remains; raises AssertionError naming what still does after `within` seconds."""
    deadline = time.monotonic() + within
    while left := remains(cluster):
        if time.monotonic() > deadline:
            raise AssertionError(f"still there after {within:.0f} s: {', '.join(left)}")
        time.sleep(0.5)  # noqa: TID251  # a test has no event loop to block


def _try(cluster: Cluster, *arguments: str) -> str:
    try:
        return cluster.kubectl(*arguments)
    except LabError as error:
        return f"{error}\n"
