"""The chart on a real cluster: what it refuses there, and what is left when it goes and comes again."""

from __future__ import annotations

import json

import pytest

from tests.cluster.cluster import Cluster
from tests.e2e.conftest import GONE
from tests.e2e.evidence import await_nothing_left
from tests.e2e.install import NAMESPACE, RELEASE, helm, helm_install, values
from tests.e2e.user import DATA, User, claim, pod
from tests.lab import LabError


def test_a_class_that_cannot_be_changed_is_named_with_the_ways_out(cluster: Cluster) -> None:
    changed = {**values(), "storageClasses": [{"name": "clinker", "reclaimPolicy": "Retain"}]}
    with pytest.raises(LabError) as raised:
        helm_install(cluster, changed)
    said = str(raised.value)
    assert 'StorageClass "clinker": reclaimPolicy is "Delete" in the cluster, and the values say "Retain"' in said
    assert "kubectl delete storageclass clinker" in said


def test_the_notes_say_what_comes_next(cluster: Cluster) -> None:
    notes = helm(cluster, "get", "notes", RELEASE, "--namespace", NAMESPACE)
    assert f"kubectl --namespace {NAMESPACE} get csistoragecapacities" in notes
    assert "storageClassName: clinker" in notes
    assert "pod-security.kubernetes.io" not in notes  # the namespace has the label


def test_the_driver_comes_up_with_pods_that_stay_up(cluster: Cluster) -> None:
    listed = json.loads(cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", "--output=json"))["items"]
    restarts = {
        f"{each['metadata']['name']}/{container['name']}": container["restartCount"]
        for each in listed
        for container in each["status"]["containerStatuses"]
    }
    assert len(restarts) == 3 + 2 * 4
    assert set(restarts.values()) == {0}


def test_helm_test_makes_a_volume_and_leaves_none(cluster: Cluster) -> None:
    said = helm(cluster, "test", RELEASE, "--namespace", NAMESPACE, "--timeout=180s", timeout=200)
    assert "Phase:          Succeeded" in said
    await_nothing_left(cluster, within=GONE)


def test_volumes_are_used_on_without_the_driver_and_found_again_by_the_next(cluster: Cluster, user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host3"))
    user.shell("writer", f"echo before >{DATA}/story; sync")
    helm(cluster, "uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--wait", "--timeout=180s", timeout=200)
    try:
        assert user.shell("writer", f"echo without >>{DATA}/story; sync; cat {DATA}/story") == "before\nwithout\n"
    finally:
        helm_install(cluster, values())
    user.remove("pod/writer")
    user.run(pod("writer", "data", node="host1"))
    assert user.shell("writer", f"cat {DATA}/story") == "before\nwithout\n"
