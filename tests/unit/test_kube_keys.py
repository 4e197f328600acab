"""The controller's own key: one for all replicas, renewed with both CAs trusted meanwhile, and never overwritten."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from csi_driver.kube.api import Api
from csi_driver.kube.informer import Pauses
from csi_driver.kube.keys import Keeper, Keys, KeyTiming, Pair, changed, due, from_secret, to_secret
from csi_driver.settings import KubernetesSettings
from tests.unit.fake_agents import until
from tests.unit.kube_server import KubeServer, serving

SECRETS, MAPS = "/api/v1/namespaces/clinker/secrets", "/api/v1/namespaces/clinker/configmaps"
NOW = datetime(2026, 11, 28, tzinfo=UTC)
TIMING = KeyTiming()
SETTINGS = KubernetesSettings(namespace="clinker", selector="", service_account="", secret="keys", ca_map="ca")


def pair(name: str) -> Pair:
    return Pair(ca=f"{name}-ca\n".encode(), certificate=f"{name}-crt".encode(), key=f"{name}-key".encode())


# -- the steps


def test_a_key_comes_into_use_after_its_ca_is_trusted_and_the_old_ca_goes_after_that() -> None:
    keys = Keys(pair=pair("a"), since=NOW)
    assert not due(keys, NOW + timedelta(seconds=TIMING.life - 1), TIMING)
    at = NOW + timedelta(seconds=TIMING.life)
    assert due(keys, at, TIMING)
    keys = changed(keys, pair("b"), at)
    assert (keys.pair, keys.bundle) == (pair("a"), b"a-ca\nb-ca\n")
    assert not due(keys, at + timedelta(seconds=TIMING.overlap - 1), TIMING)
    at += timedelta(seconds=TIMING.overlap)
    assert due(keys, at, TIMING)
    keys = changed(keys, None, at)
    assert (keys.pair, keys.bundle) == (pair("b"), b"b-ca\na-ca\n")
    at += timedelta(seconds=TIMING.overlap)
    assert due(keys, at, TIMING)
    keys = changed(keys, None, at)
    assert keys == Keys(pair=pair("b"), since=at)


def test_a_secret_reads_as_it_was_written() -> None:
    for keys in (
        Keys(pair=pair("a"), since=NOW),
        Keys(pair=pair("a"), coming=pair("b"), since=NOW),
        Keys(pair=pair("b"), last_ca=b"a-ca", since=NOW),
    ):
        assert from_secret(to_secret(keys, "keys")) == keys
    assert "a-key" not in repr(Keys(pair=pair("a"), since=NOW))


@pytest.mark.parametrize("item", [{}, {"data": {"controller.key": "eA=="}}, {"data": {"ca.crt": 7}}])
def test_what_is_not_ours_is_not_read(item: dict[str, object]) -> None:
    assert from_secret({**item, "metadata": {"name": "keys"}}) is None


# -- over the API


class Replica:
    """A controller's keeper; ``used`` is what it used, in order."""

    names = itertools.count()

    def __init__(self, api: Api, timing: KeyTiming, *, leads: bool = False) -> None:
        self.made = 0
        self.used: list[Keys] = []
        pauses = Pauses(first=0.01, longest=0.02, between=0.01)
        keeper = Keeper(api, SETTINGS, make=self._make, use=self.used.append, timing=timing, pauses=pauses)
        self._tasks = [asyncio.create_task(keeper.run())]
        self._tasks += [asyncio.create_task(keeper.renew())] if leads else []

    async def _make(self) -> Pair:
        self.made += 1
        await asyncio.sleep(0.02)
        return pair(f"key-{next(self.names)}")

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def served() -> AsyncIterator[tuple[KubeServer, Api]]:
    async with serving() as pair:
        yield pair


def trusted(server: KubeServer) -> str:
    return str(server.objects[MAPS].get("ca", {}).get("data", {}).get("ca.crt", ""))


async def test_two_that_start_at_once_use_one_key(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    server.objects[SECRETS], server.objects[MAPS] = {}, {}
    replicas = [Replica(api, TIMING), Replica(api, TIMING)]
    await until(lambda: all(len(replica.used) == 1 for replica in replicas))
    assert replicas[0].used == replicas[1].used
    assert sum(replica.made for replica in replicas) == 2
    await until(lambda: trusted(server) == replicas[0].used[0].bundle.decode())
    for replica in replicas:
        await replica.end()
    # One that starts later finds it, and whatever it finds is left as it is.
    later = Replica(api, TIMING)
    await until(lambda: later.used == replicas[0].used)
    assert later.made == 0
    await later.end()


async def test_renewal_overlaps_two_cas_and_reaches_every_replica(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    quick = KeyTiming(life=1.0, overlap=1.0, look=0.02)
    leader, other = Replica(api, quick, leads=True), Replica(api, quick)
    await until(lambda: len(other.used) >= 3)
    first, second, third = other.used[:3]
    assert first.pair == second.pair != third.pair
    assert second.bundle == first.pair.ca + third.pair.ca
    assert third.bundle == third.pair.ca + first.pair.ca
    assert leader.used[:3] == [first, second, third]
    await until(lambda: "\n" in trusted(server))
    await leader.end()
    await other.end()


async def test_a_secret_that_is_not_ours_is_neither_used_nor_overwritten(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    await server.put(SECRETS, {"metadata": {"name": "keys"}, "data": {"password": "eA=="}})
    replica = Replica(api, TIMING, leads=True)
    await asyncio.sleep(0.2)
    assert (replica.used, replica.made) == ([], 0)
    assert server.objects[SECRETS]["keys"]["data"] == {"password": "eA=="}
    await replica.end()


async def test_who_is_refused_tries_again_and_a_trust_that_was_changed_is_mended(
    served: tuple[KubeServer, Api],
) -> None:
    server, api = served
    server.failures[SECRETS] = [403, 500]
    replica = Replica(api, replace(TIMING, look=0.02), leads=True)
    await until(lambda: bool(replica.used) and bool(trusted(server)))
    there = server.objects[MAPS]["ca"]
    await server.put(MAPS, {**there, "data": {"ca.crt": "a stranger's"}})
    await until(lambda: trusted(server) == replica.used[0].bundle.decode())
    await server.remove(MAPS, "ca")
    await until(lambda: trusted(server) == replica.used[0].bundle.decode())
    await replica.end()
