"""Figures as a monitoring system gets them: from every part, over HTTP."""

from __future__ import annotations

import json
import re

import pytest

from tests.cluster.cluster import Cluster
from tests.e2e.install import NAMESPACE
from tests.e2e.user import User, claim, pod


def scrape(cluster: Cluster, component: str, port: int) -> str:
    """What all pods of a component say on a port."""
    chosen = f"--selector=app.kubernetes.io/component={component}"
    listed = json.loads(cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", chosen, "--output=json"))["items"]
    assert listed
    paths = [f"/api/v1/namespaces/{NAMESPACE}/pods/{each['metadata']['name']}:{port}/proxy/metrics" for each in listed]
    return "\n".join(cluster.kubectl("get", f"--raw={path}") for path in paths)


def answers(text: str, method: str) -> int:
    """How many times an RPC was answered well."""
    counts = re.findall(rf'^clinker_rpc_seconds_count{{.*code="OK".*method="{method}".*}} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, counts)))


@pytest.fixture
def used(user: User) -> User:
    user.apply(claim("data"))
    user.run(pod("writer", "data"))
    return user


@pytest.mark.usefixtures("used")
def test_nodes_and_controllers_count_their_answers(cluster: Cluster) -> None:
    assert answers(scrape(cluster, "node", 9807), "NodeStageVolume") > 0
    assert answers(scrape(cluster, "controller", 9809), "CreateVolume") > 0
    assert "process_resident_memory_bytes" in scrape(cluster, "node", 9807)


@pytest.mark.usefixtures("used")
@pytest.mark.parametrize(("port", "method"), [(8081, "CreateVolume"), (8082, "ControllerPublishVolume")])
def test_sidecars_count_their_calls(cluster: Cluster, port: int, method: str) -> None:
    assert re.search(
        rf'^csi_sidecar_operations_seconds_count{{.*method_name="/csi.v1.Controller/{method}".*}} [1-9]',
        scrape(cluster, "controller", port),
        re.MULTILINE,
    )
