"""The copy of the API server's objects: it is right after whatever happened, and costs few requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from csi_driver.errors import Denied, InvalidRequest, NotFound, Unavailable
from csi_driver.kube.api import Api, Expired, Json, connect
from csi_driver.kube.informer import NAME_ONLY, NAMES_ONLY, Informer, Pauses, Source
from tests.unit.fake_agents import until
from tests.unit.kube_server import KubeServer, serving

PATH = KubeServer.PODS
QUICK = Pauses(first=0.01, longest=0.02, between=0.01)


def item(name: str, colour: str = "") -> dict[str, object]:
    return {"metadata": {"name": name}, "colour": colour}


def colour(each: Json) -> str | None:
    return each["colour"] or None


@pytest.fixture
async def served() -> AsyncIterator[tuple[KubeServer, Api]]:
    async with serving() as pair:
        yield pair


@pytest.fixture
def server(served: tuple[KubeServer, Api]) -> KubeServer:
    return served[0]


@pytest.fixture
async def informer(served: tuple[KubeServer, Api], server: KubeServer) -> AsyncIterator[Informer[str]]:
    changes: list[int] = []
    await server.put(PATH, item("a", "red"))
    await server.put(PATH, item("plain"))
    source = Source(path=PATH, selector="app=node", accept=NAMES_ONLY)
    informer = Informer(served[1], source, read=colour, changed=lambda: changes.append(1), pauses=QUICK)
    task = asyncio.create_task(informer.run())
    await until(lambda: informer.synced)
    yield informer
    assert changes
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_what_changes_is_seen(server: KubeServer, informer: Informer[str]) -> None:
    assert informer.objects == {"a": "red"}
    await server.put(PATH, item("b", "blue"))
    await server.put(PATH, item("a", "green"))
    await until(lambda: informer.objects == {"a": "green", "b": "blue"})
    await server.put(PATH, item("b"))  # is not of interest any more
    await until(lambda: informer.objects == {"a": "green"})
    await server.remove(PATH, "a")
    await until(lambda: not informer.objects)
    assert (server.count(PATH, watch=False), server.count(PATH, watch=True)) == (1, 1)
    for request in server.requests:
        assert request.query["labelSelector"] == "app=node"
        # An API server ends a watch that asks for lists.
        assert request.headers["Accept"] == (NAME_ONLY if "watch" in request.query else NAMES_ONLY)


async def test_a_watch_that_ended_goes_on_where_it_was(server: KubeServer, informer: Informer[str]) -> None:
    await server.bookmark(PATH)
    await server.put("/elsewhere", item("x", "grey"))
    await until(lambda: informer._version == str(server.version - 1))
    await server.cut()
    await until(lambda: server.count(PATH, watch=True) == 2)
    assert server.requests[-1].query["resourceVersion"] == str(server.version - 1)
    await server.put(PATH, item("b", "blue"))
    await until(lambda: "b" in informer.objects)
    assert server.count(PATH, watch=False) == 1


async def test_a_version_that_is_too_old_means_to_list_again(server: KubeServer, informer: Informer[str]) -> None:
    server.failures[PATH] = [500, 500]  # while it is away, things change
    await server.cut()
    await server.remove(PATH, "a")
    await server.put(PATH, item("c", "pink"))
    server.forget_history()
    await until(lambda: informer.objects == {"c": "pink"})
    assert server.count(PATH, watch=False) >= 2
    await server.put(PATH, item("d", "black"))
    await until(lambda: informer.objects == {"c": "pink", "d": "black"})


async def test_what_was_seen_stays_while_the_server_is_away(server: KubeServer, informer: Informer[str]) -> None:
    server.failures[PATH] = [503] * 5 + [403] * 5
    await server.cut()
    await until(lambda: not server.failures[PATH])
    assert informer.objects == {"a": "red"}
    await server.put(PATH, item("b", "blue"))
    await until(lambda: "b" in informer.objects)
    assert server.count(PATH, watch=False) == 1


async def test_a_line_that_is_cut_off_is_no_event(server: KubeServer, informer: Informer[str]) -> None:
    await until(lambda: server.count(PATH, watch=True) == 1)
    server.last_words = b'{"type": "DELETED", "object": {"metadata": {"name": "a"'
    await server.cut()
    await server.put(PATH, item("b", "blue"))
    await until(lambda: informer.objects == {"a": "red", "b": "blue"})
    assert server.count(PATH, watch=False) == 1


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequest),
        (401, Denied),
        (403, Denied),
        (404, NotFound),
        (410, Expired),
        (429, Unavailable),
        (500, Unavailable),
    ],
)
async def test_what_a_status_means(served: tuple[KubeServer, Api], status: int, kind: type[Exception]) -> None:
    server, api = served
    server.failures[PATH] = [status]
    with pytest.raises(kind, match=f"answers {status}: told to answer {status}") as caught:
        await api.get(PATH)
    assert type(caught.value) is kind


async def test_nobody_there() -> None:
    async with serving() as (server, _):
        address = server.address
    from kubernetes.aio import client

    api = Api(client.Configuration(host=address))
    with pytest.raises(Unavailable, match="does not answer"):
        await api.get(PATH)
    await api.close()


async def test_without_a_way_to_the_server(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidRequest, match="way to the Kubernetes API"):
        await connect()
    with pytest.raises(InvalidRequest, match="way to the Kubernetes API"):
        await connect(f"{tmp_path}/none")
