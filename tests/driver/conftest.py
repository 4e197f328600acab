"""Fixtures of the driver tests: a cluster of simulated hosts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.driver.nodes import NodeSpec
from tests.driver.world import World


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Two nodes with disks, ``a`` and ``b``, and one without, ``c``. No test may end with two writers on a volume."""
    async with World.of(NodeSpec(name="a"), NodeSpec(name="b"), NodeSpec(name="c", size=0)) as made:
        yield made
        assert made.network.violations == []
