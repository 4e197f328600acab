"""What applications ask of a volume beyond being there."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.cluster.cluster import Cluster
from tests.e2e.user import DATA, IMAGE, User, claim, pod, stateful_set
from tests.lab.waiting import eventually

MANY = 100
MANY_LIMIT = 600.0
"""Seconds until all of them must be bound: 100 file systems on two hosts that share two busy processors."""


def test_a_hundred_claims_at_once_are_all_bound(user: User) -> None:
    """The size is scaled to the lab (64 MiB each); the number is not."""
    name = user.make_class(volumeBindingMode="Immediate")
    user.apply(*(claim(f"data-{number}", "64Mi", storageClassName=name) for number in range(MANY)))
    started = time.monotonic()
    eventually(lambda: phases(user).count("Bound") == MANY, within=MANY_LIMIT)
    print(f"{MANY} claims bound in {time.monotonic() - started:.0f} s")
    handles = [user_volume["spec"]["csi"]["volumeHandle"] for user_volume in volumes_of(user)]
    assert len(set(handles)) == MANY
    user.run(pod("writer", f"data-{MANY - 1}", node="host3"))
    user.remove("pod/writer")
    user.kubectl("delete", "pvc", "--all", "--timeout=300s", timeout=320)
    eventually(lambda: not volumes_of(user), within=MANY_LIMIT)


def phases(user: User) -> list[str]:
    return [each["status"]["phase"] for each in json.loads(user.kubectl("get", "pvc", "--output=json"))["items"]]


def volumes_of(user: User) -> list[dict[str, Any]]:
    """The PersistentVolumes of a user's claims."""
    listed = json.loads(user.cluster.kubectl("get", "pv", "--output=json"))["items"]
    return [each for each in listed if each["spec"]["claimRef"]["namespace"] == user.namespace]


def test_a_stateful_set_keeps_its_data_when_its_nodes_are_drained(user: User, cluster: Cluster) -> None:
    user.apply(stateful_set("db", 3, "256Mi"))
    user.wait("statefulset/db", "jsonpath={.status.readyReplicas}=3", timeout=180)
    names = [f"db-{number}" for number in range(3)]
    for name in names:
        user.shell(name, f"echo {name} >{DATA}/who; sync")
    uids = {name: user.get(f"pod/{name}")["metadata"]["uid"] for name in names}
    drained = user.node_of("db-0")
    cluster.kubectl("drain", drained, "--ignore-daemonsets", "--pod-selector=app=db", "--timeout=120s", timeout=140)
    try:
        user.wait("statefulset/db", "jsonpath={.status.readyReplicas}=3", timeout=240)
        for name in names:
            user.wait(f"pod/{name}", "condition=Ready")
            assert user.shell(name, f"cat {DATA}/who") == f"{name}\n"
        assert user.node_of("db-0") != drained
        assert user.get("pod/db-0")["metadata"]["uid"] != uids["db-0"]
    finally:
        cluster.kubectl("uncordon", drained)
    user.remove("statefulset/db")
    eventually(lambda: not user.kubectl("get", "pvc", "--output=name").strip(), within=120)


def test_a_claim_for_one_pod_is_not_given_to_a_second(user: User) -> None:
    user.apply(claim("data", accessModes=["ReadWriteOncePod"]))
    user.run(pod("first", "data", node="host1"))
    user.apply(pod("second", "data", node="host1"))
    user.await_scheduling_failure("second", "ReadWriteOncePod")
    user.remove("pod/first")
    user.wait("pod/second", "condition=Ready")


def test_a_pod_may_bring_its_own_volume_and_take_it_along(user: User) -> None:
    made = pod("writer", "", node="host2")
    template = {"spec": claim("data", "128Mi")["spec"]}
    made["spec"]["volumes"] = [{"name": "data", "ephemeral": {"volumeClaimTemplate": template}}]
    user.run(made)
    user.shell("writer", f"echo mine >{DATA}/f; sync")
    assert user.get("pvc/writer-data")["status"]["phase"] == "Bound"
    user.remove("pod/writer")
    eventually(lambda: not volumes_of(user), within=90)


def test_a_group_owns_the_volume_and_paths_in_it_are_apart(user: User) -> None:
    """On the volume's own node, and then over iSCSI."""
    user.apply(claim("data"))
    for node, expected in (("host1", ""), ("host3", "one\n")):
        made = pod("writer", "data", node=node)
        made["spec"]["securityContext"] = {"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000}
        [main] = made["spec"]["containers"]
        main["volumeMounts"] = [
            {"name": "data", "mountPath": "/a", "subPath": "parts/a"},
            {"name": "data", "mountPath": "/b", "subPath": "parts/b"},
        ]
        user.run(made)
        assert user.shell("writer", "stat -c %g /a /b; id -u").split() == ["2000", "2000", "1000"]
        assert user.shell("writer", "cat /a/f 2>/dev/null || true; echo one >/a/f; ls /b; sync") == expected
        user.remove("pod/writer")


def test_a_second_container_sees_what_the_first_wrote(user: User) -> None:
    user.apply(claim("data"))
    made = pod("writer", "data")
    main = made["spec"]["containers"][0]
    init = {**main, "name": "first", "image": IMAGE, "command": ["sh", "-c", f"echo first >{DATA}/f"]}
    made["spec"]["initContainers"] = [init]
    user.run(made)
    assert user.shell("writer", f"cat {DATA}/f") == "first\n"
