"""pytest fixtures: `pytest_plugins = ["tests.lab.fixtures"]` in a conftest, or import them there."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack

import pytest

from tests.lab.lab import Lab
from tests.lab.spec import GIB, HostSpec

LabFactory = Callable[[Sequence[HostSpec]], Lab]
"""Boots a lab that ends with the fixture's scope."""


def hosts(count: int, *disks: int, memory_mib: int = 1024) -> tuple[HostSpec, ...]:
    """Specs of `host1` ... with the same disks (sizes in bytes; one of 4 GiB by default) and memory (MiB)."""
    sizes = disks or (4 * GIB,)
    return tuple(HostSpec(f"host{number + 1}", sizes, memory_mib) for number in range(count))


def _factory(request: pytest.FixtureRequest) -> Generator[LabFactory]:
    with ExitStack() as labs:

        def boot(specs: Sequence[HostSpec]) -> Lab:
            return labs.enter_context(Lab(specs))

        failed_before = request.session.testsfailed
        booted: list[Lab] = []

        def remember(specs: Sequence[HostSpec]) -> Lab:
            booted.append(boot(specs))
            return booted[-1]

        yield remember
        if request.session.testsfailed > failed_before:
            for lab in booted:
                lab.keep_logs()


@pytest.fixture
def lab_factory(request: pytest.FixtureRequest) -> Generator[LabFactory]:
    """Labs for one test: `lab = lab_factory(hosts(2))`."""
    yield from _factory(request)


@pytest.fixture(scope="module")
def module_lab_factory(request: pytest.FixtureRequest) -> Generator[LabFactory]:
    """Labs that the tests of a file share."""
    yield from _factory(request)


@pytest.fixture(scope="session")
def session_lab_factory(request: pytest.FixtureRequest) -> Generator[LabFactory]:
    """Labs that a whole run shares."""
    yield from _factory(request)
