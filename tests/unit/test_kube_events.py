"""Events are written once for what is so, and again when it is otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from csi_driver.errors import Unavailable
from csi_driver.kube.api import Api
from csi_driver.kube.events import LONGEST, About, Events
from tests.unit.kube_server import KubeServer, serving

PATH = "/api/v1/namespaces/shop/events"
CLAIM = About(kind="PersistentVolumeClaim", name="data", uid="u-1", namespace="shop")


@pytest.fixture
async def served() -> AsyncIterator[tuple[KubeServer, Api]]:
    async with serving() as pair:
        yield pair


def written(server: KubeServer) -> list[dict[str, Any]]:
    return list(server.objects[PATH].values())


async def test_the_same_words_are_written_once(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    events = Events(api)
    assert await events.tell(CLAIM, reason="NoPool", message="n1/fast: full")
    assert not await events.tell(CLAIM, reason="NoPool", message="n1/fast: full")
    assert len(server.requests) == 1
    [event] = written(server)
    assert event["involvedObject"] == {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "name": "data",
        "uid": "u-1",
        "namespace": "shop",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "NoPool", "n1/fast: full")
    assert await events.tell(CLAIM, reason="NoPool", message="n1/fast: cordoned")
    assert await events.tell(CLAIM, reason="Placed", message="on n1", warning=False)
    assert [each["type"] for each in written(server)] == ["Warning", "Warning", "Normal"]


async def test_what_is_so_again_is_said_again(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    events = Events(api)
    await events.tell(CLAIM, reason="NoPool", message="full")
    events.forget(CLAIM, reason="NoPool")
    assert await events.tell(CLAIM, reason="NoPool", message="full")
    assert len(written(server)) == 1  # the same event, renewed
    assert [request.method for request in server.requests] == ["POST", "POST", "PATCH"]
    # As another process does that says the same, and as this one does after a while.
    assert await Events(api).tell(CLAIM, reason="NoPool", message="full")
    old = Events(api, again=0.0)
    assert [await old.tell(CLAIM, reason="NoPool", message="full") for _ in range(2)] == [True, True]
    assert len(written(server)) == 1


async def test_what_could_not_be_written_may_be_tried_again(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    events = Events(api)
    server.failures[PATH] = [500]
    with pytest.raises(Unavailable):
        await events.tell(CLAIM, reason="NoPool", message="full")
    assert await events.tell(CLAIM, reason="NoPool", message="full")


async def test_long_words_are_cut_and_what_is_in_no_namespace_goes_to_default(served: tuple[KubeServer, Api]) -> None:
    server, api = served
    node = About(kind="StorageNode", api_version="clinker.io/v1alpha1", name="n1", uid="u-2")
    await Events(api).tell(node, reason="Silent", message="x" * 3000)
    [event] = server.objects["/api/v1/namespaces/default/events"].values()
    assert len(event["message"]) == LONGEST
    assert "namespace" not in event["involvedObject"]
