"""Leaving: refused while volumes are in use, and without a trace otherwise."""

from __future__ import annotations

import pytest

from tests.cluster.cluster import Cluster
from tests.e2e.install import NAMESPACE, RELEASE, helm, helm_install, values
from tests.e2e.user import DATA, User, claim, pod
from tests.lab import LabError

KINDS = "csidrivers,storageclasses,clusterroles,clusterrolebindings,validatingadmissionpolicies"
OURS = f"--selector=app.kubernetes.io/instance={RELEASE}"


def uninstall(cluster: Cluster, *further: str) -> str:
    arguments = ("uninstall", RELEASE, "--namespace", NAMESPACE, "--wait", "--timeout=180s", *further)
    return helm(cluster, *arguments, timeout=240)


def test_an_uninstall_is_refused_while_there_are_volumes(cluster: Cluster, user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host3"))
    with pytest.raises(LabError) as raised:
        uninstall(cluster)
    said = str(raised.value)
    assert f"PersistentVolume {user.volume('data')['metadata']['name']} of claim {user.namespace}/data, Bound" in said
    assert "on node host3" in said
    assert user.shell("writer", f"echo on >{DATA}/f; cat {DATA}/f") == "on\n"
    user.run(pod("second", "data", node="host3"))  # the driver is still there
    jobs = cluster.kubectl("get", "jobs,serviceaccounts", f"--namespace={NAMESPACE}", "--output=name").split()
    assert not [each for each in jobs if each.endswith("uninstall")]


def test_nothing_of_the_driver_is_left_without_volumes(cluster: Cluster) -> None:
    uninstall(cluster)
    try:
        assert cluster.kubectl("get", KINDS, OURS, "--output=name").split() == []
        left = cluster.kubectl("get", "all,configmaps,leases", f"--namespace={NAMESPACE}", OURS, "--output=name")
        assert left.split() == []
        capacities = "csistoragecapacities"
        cluster.wait(capacities, "delete", namespace=NAMESPACE, timeout=60)
    finally:
        helm_install(cluster, values())
