"""pytest fixtures: `from tests.cluster.fixtures import cluster` (or `pytest_plugins`) in a conftest or a test file."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from tests.cluster.cluster import Cluster


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Generator[Cluster]:
    """A cluster of three nodes that the tests of a file share; its logs are kept when one of them fails."""
    failed_before = request.session.testsfailed
    with Cluster() as running:
        yield running
        if request.session.testsfailed > failed_before:
            running.lab.keep_logs()
