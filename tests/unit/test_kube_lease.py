"""One of several controllers acts: whatever dies, hangs or is cut off, never two at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from csi_driver.errors import Denied
from csi_driver.kube.api import Api
from csi_driver.kube.lease import Lease, LeaseTiming
from tests.unit.fake_agents import until
from tests.unit.kube_server import KubeServer, serving

TIMING = LeaseTiming(duration=1.0, deadline=0.5, retry=0.05)
PATH = KubeServer.LEASES


class Candidate:
    """A process that wants the lease; ``working`` while it has it. ``log`` is shared by all: never two at once."""

    def __init__(self, api: Api, name: str, log: list[str]) -> None:
        self.lease, self.name, self._log = Lease(api, "clinker", "writer", name, TIMING), name, log
        self.working = False
        self.failure: Exception | None = None
        self.fail = asyncio.Event()
        self.task = asyncio.create_task(self.lease.run(self._work))

    async def _work(self) -> None:
        self._log.append(f"+{self.name}")
        self.working = True
        try:
            await self.fail.wait()
            raise Denied("the work has failed")
        finally:
            self.working = False
            self._log.append(f"-{self.name}")

    async def end(self, *, release: bool = True) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task
        if release:
            await self.lease.release()


@pytest.fixture
async def served() -> AsyncIterator[tuple[KubeServer, Api]]:
    async with serving() as pair:
        yield pair


async def test_one_of_two_acts_and_the_other_takes_over_at_once_when_it_ends(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    log: list[str] = []
    first = Candidate(api, "a", log)
    await until(lambda: first.working)
    second = Candidate(api, "b", log)
    await until(lambda: server.count(f"{PATH}/writer", watch=False) > 20)
    assert log == ["+a"]
    spec = server.objects[PATH]["writer"]["spec"]
    assert (spec["holderIdentity"], spec["leaseTransitions"], spec["leaseDurationSeconds"]) == ("a", 0, 1)
    await first.end()
    await until(lambda: second.working)
    assert log == ["+a", "-a", "+b"]
    assert server.objects[PATH]["writer"]["spec"]["leaseTransitions"] == 1
    await second.end()


async def test_who_dies_is_waited_for_as_long_as_its_lease_lasts(served: tuple[KubeServer, Api]) -> None:
    _, api = served
    log: list[str] = []
    first = Candidate(api, "a", log)
    await until(lambda: first.working)
    await first.end(release=False)
    begun = asyncio.get_running_loop().time()
    second = Candidate(api, "b", log)
    await until(lambda: second.working)
    assert asyncio.get_running_loop().time() - begun >= TIMING.duration
    await second.end()


async def test_who_dies_and_comes_back_under_its_name_need_not_wait(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    first = Candidate(api, "a", [])
    await until(lambda: first.working)
    acquired = server.objects[PATH]["writer"]["spec"]["acquireTime"]
    await first.end(release=False)
    again = Candidate(api, "a", [])
    await until(lambda: again.working)
    assert server.objects[PATH]["writer"]["spec"]["acquireTime"] == acquired
    await again.end()


async def test_who_cannot_renew_stops_before_another_may_begin(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    log: list[str] = []
    first = Candidate(api, "a", log)
    await until(lambda: first.working)
    server.failures[f"{PATH}/writer"] = [503] * 5
    await asyncio.sleep(0.15)
    assert first.working  # some failures are no reason yet
    server.failures[f"{PATH}/writer"] = [503] * 100_000
    await until(lambda: not first.working)
    server.failures[f"{PATH}/writer"] = []
    await until(lambda: first.working)
    await first.end()


async def test_a_lease_that_another_has_taken_is_lost(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    first = Candidate(api, "a", [])
    await until(lambda: first.working)
    lease = server.objects[PATH]["writer"]
    taken = {**lease["spec"], "holderIdentity": "b", "renewTime": "2026-11-28T00:00:00.000000Z"}
    await server.put(PATH, {"metadata": {"name": "writer"}, "spec": {**taken, "leaseDurationSeconds": 3600}})
    await until(lambda: not first.working)
    await first.end()
    assert server.objects[PATH]["writer"]["spec"]["holderIdentity"] == "b"


@pytest.mark.parametrize("failures", [[409], [403, 403], [500]])
async def test_who_is_refused_tries_again(served: tuple[KubeServer, Api], failures: list[int]) -> None:
    server, api = served
    server.failures[PATH] = list(failures)
    first = Candidate(api, "a", [])
    await until(lambda: first.working)
    assert server.failures[PATH] == []
    await first.end()


async def test_work_that_fails_is_an_error_of_the_process(served: tuple[KubeServer, Api]) -> None:
    _, api = served
    first = Candidate(api, "a", [])
    await until(lambda: first.working)
    first.fail.set()
    with pytest.raises(Denied, match="the work has failed"):
        await first.task
