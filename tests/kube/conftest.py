"""One API server for the suite; each test finds it without nodes, pods and StorageNodes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from csi_driver.errors import NotFound, Unavailable
from csi_driver.kube.api import Api, connect
from tests.kube import objects
from tests.kube.api_server import ApiServer
from tests.kube.objects import Administrator
from tests.kube.world import World
from tests.unit.rpc_fakes import Pki


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """With the chart's service accounts, rules and CRD in it."""
    server = ApiServer(tmp_path_factory.mktemp("api-server"))
    try:
        server.start()
        asyncio.run(_install(server))
        yield server
    finally:
        server.stop()


async def _install(server: ApiServer) -> None:
    api = await connect(str(server.kubeconfig("admin")))
    try:
        await objects.install_chart(api)
        async with asyncio.timeout(60):
            while not await _served(api):
                await asyncio.sleep(0.1)
    finally:
        await api.close()


async def _served(api: Api) -> bool:
    """A CRD is served some moments after it was made."""
    try:
        await api.get(objects.STORAGE_NODES)
    except (NotFound, Unavailable):
        return False
    return True


@pytest.fixture
async def admin(api_server: ApiServer) -> AsyncIterator[Administrator]:
    kubeconfig = api_server.kubeconfig("admin")
    api = await connect(str(kubeconfig))
    administrator = Administrator(api, kubeconfig)
    yield administrator
    for path in (objects.STORAGE_NODES, objects.PODS, objects.NODES, objects.CSI_NODES, objects.LEASES):
        await administrator.delete(path)
    await api.close()


@pytest.fixture
async def world(api_server: ApiServer, admin: Administrator, tmp_path: Path) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        world = World(api_server, admin, Pki(tmp_path))
        await world.agent(stack)
        yield world
        for each in world.running:
            await each.stop()
