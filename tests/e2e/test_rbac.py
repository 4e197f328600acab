"""The rules that the chart gives are those that are used: none too few, none too many."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.cluster.cluster import Cluster
from tests.e2e.install import NAMESPACE, RELEASE
from tests.e2e.test_snapshots import cut, from_snapshot
from tests.e2e.user import User, claim, pod

CONTROLLER = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-controller"
NODE = f"system:serviceaccount:{NAMESPACE}:{RELEASE}-node"
ROLE = f"{RELEASE}-controller"


class Right(NamedTuple):
    """One verb on one resource of one API group."""

    group: str
    resource: str
    verb: str


CLAIMS = "persistentvolumeclaims"
SELDOM = {
    # A claim goes back to the scheduler when the node that it chose has no room any more.
    Right("", CLAIMS, "get"),
    Right("", CLAIMS, "update"),
    # When a claim says clinker.io/near: pod:NAME.
    Right("", "pods", "get"),
    # When a node or a class is removed.
    Right("storage.k8s.io", "csistoragecapacities", "delete"),
}
"""Rights that one claim's life does not need; each is a call that stands in the sidecars' code."""

LEASES = {Right("coordination.k8s.io", "leases", verb) for verb in ("get", "update")}
QUIET = 20
"""Seconds without a claim; fewer requests than seconds are few."""


def requests(cluster: Cluster, user: str) -> Iterator[dict[str, Any]]:
    """The API server's record of what a service account asked for."""
    for line in cluster.places.audit_log.read_text().splitlines():
        if line.endswith("}"):
            entry: dict[str, Any] = json.loads(line)
            if entry["user"]["username"] == user:
                yield entry


def right(entry: dict[str, Any]) -> Right | None:
    """None for what every service account may: the paths that are no resource, and what it may itself."""
    thing = entry.get("objectRef", {})
    if not thing.get("resource") or thing.get("apiGroup") == "authorization.k8s.io":
        return None
    below = f"/{thing['subresource']}" if thing.get("subresource") else ""
    return Right(thing.get("apiGroup", ""), thing["resource"] + below, entry["verb"])


def given(cluster: Cluster) -> set[Right]:
    found = set()
    for kind in (f"clusterrole/{ROLE}", f"role/{ROLE}"):
        role = json.loads(cluster.kubectl("get", kind, f"--namespace={NAMESPACE}", "--output=json"))
        found |= {
            Right(group, resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
    return found


@pytest.fixture
def lived(user: User) -> User:
    """After a claim's whole life: made, used on two nodes, grown, cut and made anew from that, deleted."""
    user.apply(claim("data"))
    user.run(pod("writer", "data", node="host1"))
    user.kubectl("patch", "pvc", "data", "--patch", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')
    user.wait("pvc/data", "jsonpath={.status.capacity.storage}=2Gi")
    user.remove("pod/writer")
    user.run(pod("writer", "data", node="host3"))
    cut(user, "nightly", "data")
    user.apply(claim("again", "2Gi", **from_snapshot("nightly")))
    user.run(pod("reader", "again", node="host1"))
    user.remove("pod/writer", "pod/reader", "pvc/data", "pvc/again", "volumesnapshot/nightly")
    return user


def test_no_request_is_refused_and_no_rule_is_unused(cluster: Cluster, lived: User) -> None:
    assert lived.namespace
    asked = list(requests(cluster, CONTROLLER))
    # Not by the code: 403 is also the answer to who writes an event into a namespace that is being removed.
    refused = {right(entry) for entry in asked if entry["annotations"]["authorization.k8s.io/decision"] != "allow"}
    used = {each for entry in asked if (each := right(entry)) is not None}
    assert refused == set()
    # Clients that follow a collection list it only where the API server cannot begin a watch with what there is.
    used |= {each._replace(verb="list") for each in used if each.verb == "watch"}
    assert given(cluster) - used - SELDOM == set()
    assert given(cluster) >= SELDOM


def test_nodes_ask_the_api_server_for_nothing(cluster: Cluster) -> None:
    assert list(requests(cluster, NODE)) == []


def test_a_cluster_where_nothing_happens_is_not_asked_all_the_time(cluster: Cluster) -> None:
    """Watches last minutes; leases are kept up by the sidecars."""
    before = sum(1 for entry in requests(cluster, CONTROLLER) if right(entry) not in LEASES)
    time.sleep(QUIET)  # noqa: TID251  # a test has no event loop to block
    after = sum(1 for entry in requests(cluster, CONTROLLER) if right(entry) not in LEASES)
    assert after - before < QUIET
