"""The contract suites run against the simulated doors; with ``--real`` against those of this machine, as root.

``tests/lab_suite/test_contract_in_guest.py`` does the second on a lab host. What lies in ``real`` is about the real
doors alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.storage import RealStorage, SimStorage, Storage


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real", action="store_true", help="use the kernel and the programs of this machine")


def is_real(config: pytest.Config) -> bool:
    return bool(config.getoption("--real", default=False))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if collection_path.name == "real" and not is_real(config) else None


@pytest.fixture
async def storage(request: pytest.FixtureRequest) -> AsyncIterator[Storage]:
    """A host with the volume group ``vg0`` of nearly 4 GiB, extents of 4 MiB, and in it the thin pool ``pool``."""
    made: Storage = RealStorage() if is_real(request.config) else SimStorage()
    yield made
    await made.clear()
