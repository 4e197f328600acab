"""A controller's agents, found in Kubernetes: keeps the fleet as Kubernetes says, and a client for each agent."""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import suppress

from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.kit.effects import Effects
from csi_driver.kube import api
from csi_driver.kube.agents import Agents, Discovery, Withheld
from csi_driver.kube.claims import Claims
from csi_driver.kube.homes import Homes
from csi_driver.kube.keys import Keeper, KeyTiming
from csi_driver.kube.lease import Lease
from csi_driver.kube.pools import PoolIntent, PoolOrders
from csi_driver.kube.proof import TokenReviews
from csi_driver.kube.storage_nodes import PERIOD, StorageNodes
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.settings import KubernetesSettings, TlsSettings
from csi_driver.wiring import controller_key


class DiscoveryPart:
    """Follows Kubernetes from ``start`` to ``close``."""

    def __init__(
        self,
        settings: KubernetesSettings,
        tls: TlsSettings,
        fleet: Fleet,
        effects: Effects,
        *,
        period: float = PERIOD,
        timing: KeyTiming | None = None,
    ) -> None:
        """``period``: seconds between two looks at what is to be written."""
        self._period, self._timing = period, timing
        self._settings, self._tls, self._fleet, self._effects = settings, tls, fleet, effects
        self._api: api.Api | None = None
        self.claims = Claims()
        self._proofs: TokenReviews | None = None
        self._clients: dict[str, AgentClient] = {}
        self._known: Agents = {}
        self._lease: Lease | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Begin; does not wait for the API server. InvalidRequest when the way to it is not known."""
        self._api = self.claims.api = await api.connect(self._settings.kubeconfig)
        self._proofs = TokenReviews(self._api, self._settings)
        discovery = Discovery(self._api, self._settings, self._take)
        # The name of a pod is its host's; two processes on one host are two as well.
        identity = f"{socket.gethostname()}_{secrets.token_hex(4)}"
        lease = self._lease = Lease(self._api, self._settings.namespace, self._settings.lease, identity)
        following = [asyncio.create_task(discovery.run(), name="discovery")]
        keeper = orders = None
        if self._settings.secret:
            keeper = self._keeper(self._api)
            following.append(asyncio.create_task(keeper.run(), name="keys"))
        if self._settings.pools:
            intent = PoolIntent(self._api, self._settings)
            following.append(asyncio.create_task(intent.run(), name="pools"))
            orders = PoolOrders(self._fleet, intent, discovery.nodes, period=self._period)
        further = orders.conditions if orders else lambda _: ()
        writer = StorageNodes(self._api, self._fleet, discovery.stored, further=further, period=self._period)
        homes = Homes(self._api, self._fleet, period=self._period)

        async def lead() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(writer.run(), name="StorageNodes")
                group.create_task(homes.run(), name="homes")
                if orders:
                    group.create_task(orders.run(), name="pool orders")
                if keeper:
                    group.create_task(keeper.renew(), name="renewal of keys")

        self.tasks = (*following, asyncio.create_task(lease.run(lead), name="lease"))

    def _keeper(self, connection: api.Api) -> Keeper:
        folder = self._tls.key.parent / "making"
        return Keeper(
            connection,
            self._settings,
            make=lambda: controller_key.make_pair(folder),
            use=lambda keys: controller_key.put(self._tls, keys),
            timing=self._timing,
        )

    async def quiesce(self) -> None:
        """Calls that run may still need the clients."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        if self._lease is not None:
            await self._lease.release()

    async def close(self) -> None:
        """End every call."""
        await asyncio.gather(*(client.close() for client in self._clients.values()), *self._closing)
        if self._api is not None:
            await self._api.close()

    def _take(self, known: Agents, withheld: Withheld) -> None:
        """These are the known nodes now, and those of them that are to get nothing new."""
        for node in self._known.keys() - known.keys():
            self._fleet.dismiss(node)
            self._retire(node)
        for node, address in known.items():
            if node not in self._known or self._known[node] != address:
                self._retire(node)
                self._fleet.admit(Member(node, self._client(node, address)))
        self._known = known
        for node in known:
            self._fleet.withhold(node, withheld.get(node, ""))
        self._fleet.complete()

    def _client(self, node: str, address: str) -> AgentClient | None:
        if not address or self._proofs is None:
            return None
        host = f"[{address}]" if ":" in address else address
        way = f"{host}:{self._settings.port}"
        client = AgentClient(node, way, self._tls, effects=self._effects, check=self._proofs.check)
        self._clients[node] = client
        return client

    def _retire(self, node: str) -> None:
        client = self._clients.pop(node, None)
        if client is not None:
            task = asyncio.create_task(client.close(), name=f"close {node}")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
