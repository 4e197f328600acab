"""VolumeSnapshots, claims made from them and from other claims, with kubectl alone."""

from __future__ import annotations

import json

from csi_driver.model.sizes import GIB
from tests.cluster.cluster import Cluster
from tests.e2e.user import DATA, DEVICE, Object, User, claim, pod
from tests.lab.waiting import eventually

SNAPSHOT_CLASS = "clinker"


def snapshot(name: str, claim_name: str) -> Object:
    return {
        "apiVersion": "snapshot.storage.k8s.io/v1",
        "kind": "VolumeSnapshot",
        "metadata": {"name": name},
        "spec": {"volumeSnapshotClassName": SNAPSHOT_CLASS, "source": {"persistentVolumeClaimName": claim_name}},
    }


def from_snapshot(name: str) -> Object:
    """The data source of a claim."""
    return {"dataSource": {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}}


def from_claim(name: str) -> Object:
    return {"dataSource": {"kind": "PersistentVolumeClaim", "name": name}}


def cut(user: User, name: str, claim_name: str) -> Object:
    """The snapshot, ready."""
    user.apply(snapshot(name, claim_name))
    user.wait(f"volumesnapshot/{name}", "jsonpath={.status.readyToUse}=true")
    return user.get(f"volumesnapshot/{name}")


def test_a_snapshot_is_restored_after_its_claim_is_gone(user: User, cluster: Cluster) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    user.shell("writer", f"echo before >{DATA}/file")  # not synced: a local file system is at rest when it is cut
    made = cut(user, "nightly", "data")
    assert made["status"]["restoreSize"] == "1Gi"
    user.shell("writer", f"echo behind >{DATA}/file; sync")
    user.remove("pod/writer", "pvc/data")
    user.apply(claim("again", "2Gi", **from_snapshot("nightly")))
    user.run(pod("reader", "again", node="host3"))
    assert user.shell("reader", f"cat {DATA}/file") == "before\n"
    blocks, unit = user.shell("reader", f"stat -f -c '%b %S' {DATA}").split()
    assert int(blocks) * int(unit) > 1.8 * GIB
    content = made["status"]["boundVolumeSnapshotContentName"]
    handle = json.loads(cluster.kubectl("get", f"volumesnapshotcontent/{content}", "--output=json"))
    cut_volume = handle["status"]["snapshotHandle"]
    user.remove("volumesnapshot/nightly")
    host = cluster.lab.host("host1")
    eventually(lambda: cut_volume not in host.run(["lvs", "--noheadings", "-o", "lv_name"]).stdout, within=60)
    assert user.shell("reader", f"cat {DATA}/file") == "before\n"


def test_a_claim_is_cloned_while_a_pod_uses_it(user: User) -> None:
    user.apply(claim("raw", mode="Block"))
    user.run(pod("writer", "raw", node="host1", block=True))
    user.shell("writer", f"printf original | dd of={DEVICE} conv=fsync 2>/dev/null")
    user.apply(claim("copy", mode="Block", **from_claim("raw")))
    user.run(pod("reader", "copy", node="host2", block=True))
    user.shell("writer", f"printf changed! | dd of={DEVICE} conv=fsync 2>/dev/null")
    assert user.shell("reader", f"head -c 8 {DEVICE}") == "original"


def test_what_no_copy_can_be_is_said_in_an_event(user: User) -> None:
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    cut(user, "nightly", "data")
    user.apply(claim("thick", storageClassName=user.make_class(parameters={"layout": "thick"}), **from_claim("data")))
    user.apply(pod("other", "thick"))
    user.await_event("pvc/thick", "thin")
