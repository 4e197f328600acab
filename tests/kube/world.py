"""A controller and one agent over the real API server, each with the token that it would have in a cluster."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from csi_driver.fleet.fleet import Fleet
from csi_driver.fleet.watcher import Timing
from csi_driver.kit.effects import Effects
from csi_driver.kube.keys import KeyTiming
from csi_driver.settings import KubernetesSettings, TlsSettings
from csi_driver.wiring.discovery import DiscoveryPart
from tests.kube import objects
from tests.kube.api_server import ApiServer
from tests.kube.objects import (
    CA_MAP,
    CONTROLLER,
    KEYS,
    NAMESPACE,
    NODE,
    POOLS,
    SELECTOR,
    STORAGE_NODES,
    Administrator,
    Object,
)
from tests.unit.rpc_fakes import Pki
from tests.unit.test_proven_link import Node

TIMING = Timing(silence=5.0, first_contact=5.0, shortest_pause=0.05, longest_pause=0.2)
LIMIT = 40.0
"""Seconds for what takes tenths of one on an idle machine."""


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT):
        while not await condition():  # whatever it is, nobody tells
            await asyncio.sleep(0.05)


@dataclass
class Controller:
    """What a controller does with the API server, as its own service account."""

    part: DiscoveryPart
    fleet: Fleet

    async def stop(self) -> None:
        await self.part.quiesce()
        await self.fleet.stop()
        await self.part.close()


@dataclass
class World:
    server: ApiServer
    admin: Administrator
    pki: Pki
    running: list[Controller] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def controller(self, *, own_key: KeyTiming | None = None) -> Controller:
        """One that has started. ``own_key``: it is given no key and makes one, renewed after so long."""
        token = await objects.token(self.admin.api, CONTROLLER)
        selector = ",".join(f"{key}={value}" for key, value in SELECTOR.items())
        settings = KubernetesSettings(
            namespace=NAMESPACE,
            selector=selector,
            service_account=NODE,
            kubeconfig=str(self.server.kubeconfig("controller", token=token)),
            port=self.node.port,
            pools=POOLS,
            secret=KEYS if own_key else "",
            ca_map=CA_MAP,
        )
        tls = self._empty() if own_key else self.pki.controller()
        fleet = Fleet([], TIMING, complete=False)
        part = DiscoveryPart(settings, tls, fleet, Effects(), period=0.1, timing=own_key)
        started = Controller(part, fleet)
        self.running.append(started)
        await part.start()
        await fleet.start()
        return started

    def _empty(self) -> TlsSettings:
        folder = self.pki.folder / f"controller-{next(self.numbers)}"
        return TlsSettings(ca=folder / "ca.crt", certificate=folder / "controller.crt", key=folder / "controller.key")

    async def agent(self, stack: AsyncExitStack) -> None:
        """The agent of node n1, with the token that kubelet would have given its pod."""
        self.node = Node(self.pki)
        await self.node.start()
        stack.push_async_callback(self.node.stop)
        await objects.make_node(self.admin.api, "n1")
        pod = await objects.make_pod(self.admin.api, "n1", "127.0.0.1")
        self.node.token.write_text(await objects.token(self.admin.api, NODE, audience="csi.clinker.io", pod=pod))

    async def stored(self, name: str = "n1") -> Object | None:
        return await objects.get(self.admin.api, f"{STORAGE_NODES}/{name}")

    async def condition(self, kind: str) -> tuple[str, str]:
        """Status and message of one of n1's conditions."""
        conditions = ((await self.stored()) or {}).get("status", {}).get("conditions", [])
        return next(
            ((str(each["status"]), str(each["message"])) for each in conditions if each["type"] == kind), ("", "")
        )

    async def until(self, kind: str, value: str) -> None:
        async def reached() -> bool:
            return (await self.condition(kind))[0] == value

        await eventually(reached)
