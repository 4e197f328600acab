"""One cluster with Clinker for all of the suite; a test that fails keeps the logs of all parts."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.cluster.cluster import Cluster
from tests.e2e.evidence import await_nothing_left, keep_evidence
from tests.e2e.install import install
from tests.e2e.user import User

RUNNING = "CLINKER_E2E_CLUSTER"
"""Names a cluster that is up and has Clinker already, to be used and left as it is: for work on the tests."""
GONE = 120.0
"""Seconds until deleted claims must have left nothing anywhere."""


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Generator[Cluster]:
    """Three nodes, two of them with a pool, and Clinker on all by `helm install`."""
    if name := os.environ.get(RUNNING):
        yield Cluster.attach(name)
        return
    with Cluster() as running:
        try:
            install(running)
            yield running
        finally:
            if request.session.testsfailed:
                keep_evidence(running)
                running.lab.keep_logs()


@pytest.fixture
def user(cluster: Cluster, request: pytest.FixtureRequest) -> Generator[User]:
    """Someone with a namespace of the test's own. A test has failed that leaves a volume, or a part of one."""
    name = request.node.name.replace("_", "-").partition("[")[0].lower()[:50].strip("-")
    someone = User(cluster, name)
    someone.arrive()
    failed_before = request.session.testsfailed
    yield someone
    if request.session.testsfailed > failed_before:
        keep_evidence(cluster)
    someone.leave()
    await_nothing_left(cluster, within=GONE)
