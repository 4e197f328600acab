"""Pools are intent, and so they come from Kubernetes: a ConfigMap lists them, and each node is told its own.

An entry is a table like ``[[agent.pools]]`` of the settings (the one place that says what it may hold) and, if it is
for some nodes only, their names (``nodes``) or labels (``node_selector``).
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from csi_driver.errors import DriverError, InvalidRequest
from csi_driver.fleet.fleet import Fleet
from csi_driver.fleet.state import NodeState
from csi_driver.kube.api import Api, Json
from csi_driver.kube.informer import Informer, Pauses, Source
from csi_driver.kube.storage_node import condition
from csi_driver.settings import EVERYWHERE, KubernetesSettings, PoolSettings, check_pools, read_pool

log = logging.getLogger(__name__)

KEY = "pools.json"
CONFIGURED = "PoolsConfigured"
"""Type of the condition."""
AGAIN = 300.0
"""Seconds after which a node is told once more: its disk may have been replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A pool, and the labels of the nodes that it is for; none: any."""

    pool: PoolSettings
    selector: Mapping[str, str]

    def on(self, node: str, labels: Mapping[str, str]) -> bool:
        """Whether it is for a node of that name with these labels."""
        named = self.pool.nodes in ((), EVERYWHERE) or node in self.pool.nodes
        return named and all(labels.get(key) == value for key, value in self.selector.items())

    def told(self) -> PoolSettings:
        """As the node is told: where else the pool is does not matter there. A node that was chosen by name or label
        must have the volume group; of all nodes those that have it are meant.
        """
        anywhere = self.pool.nodes in ((), EVERYWHERE) and not self.selector
        return replace(self.pool, nodes=EVERYWHERE if anywhere else ())


def read_entries(document: str) -> tuple[Entry, ...]:
    """Raises InvalidRequest naming the entry and the key."""
    try:
        tables = json.loads(document)
    except ValueError as error:
        raise InvalidRequest(f"{KEY}: {error}") from error
    if not isinstance(tables, list):
        raise InvalidRequest(f"{KEY}: must be a list of pools")
    return tuple(_entry(table, f"{KEY}[{n}]") for n, table in enumerate(tables))


def _entry(table: object, where: str) -> Entry:
    if not isinstance(table, Mapping):
        raise InvalidRequest(f"{where}: must be a table")
    selector = table.get("node_selector") or {}
    if not isinstance(selector, Mapping):
        raise InvalidRequest(f"{where}: node_selector must be a table of labels")
    rest = {key: value for key, value in table.items() if key != "node_selector"}
    return Entry(pool=read_pool(rest, where), selector={str(key): str(value) for key, value in selector.items()})


def pools_of(entries: Sequence[Entry], node: str, labels: Mapping[str, str]) -> tuple[PoolSettings, ...]:
    """What a node is to offer. Raises InvalidRequest when two of them have one volume group or one name."""
    pools = tuple(entry.told() for entry in entries if entry.on(node, labels))
    check_pools(pools)
    return pools


class PoolIntent:
    """Follows the ConfigMap. ``entries`` is None before it has been seen: nothing is known, and nobody is told."""

    def __init__(self, api: Api, settings: KubernetesSettings, pauses: Pauses | None = None) -> None:
        path = f"/api/v1/namespaces/{settings.namespace}/configmaps"
        source = Source(path=path, name=settings.pools)
        self._name = settings.pools
        self._maps = Informer(api, source, read=_document, changed=self._look, pauses=pauses)
        self.entries: tuple[Entry, ...] | None = None
        self.error = ""
        """Why the document cannot be read, in words; then what was read before is not to be followed either."""

    async def run(self) -> None:
        """Never returns; cancel it."""
        await self._maps.run()

    def _look(self) -> None:
        document = self._maps.objects.get(self._name)
        if document is None:  # deleted with the release, or not made yet: that nobody says anything is no intent
            self.entries, self.error = None, ""
            return
        try:
            self.entries, self.error = read_entries(document), ""
        except InvalidRequest as error:
            log.warning("pools cannot be read", extra={"error": str(error)})
            self.entries, self.error = None, str(error)


def _document(item: Json) -> str | None:
    found = (item.get("data") or {}).get(KEY)
    return None if found is None else str(found)


class PoolOrders:
    """Tells every node its pools, in the process that holds the lease, and says what became of it."""

    def __init__(
        self,
        fleet: Fleet,
        intent: PoolIntent,
        nodes: Informer[Mapping[str, str]],
        *,
        period: float,
        again: float = AGAIN,
    ) -> None:
        self._fleet, self._intent, self._nodes, self._period, self._again = fleet, intent, nodes, period, again
        self._told: dict[str, tuple[tuple[PoolSettings, ...], str, float]] = {}
        self._outcomes: dict[str, Json] = {}

    def conditions(self, node: str) -> Sequence[Json]:
        """Of a node's StorageNode; nothing when nothing is known."""
        found = self._outcomes.get(node)
        return () if found is None else (found,)

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            if self._nodes.synced:
                await asyncio.gather(*(self._order(state) for state in self._fleet.nodes()))
            await asyncio.sleep(self._period)

    async def _order(self, state: NodeState) -> None:
        node, labels = state.name, self._nodes.objects.get(state.name)
        if self._intent.error:
            self._refused(node, self._intent.error)
            return
        if self._intent.entries is None or labels is None:
            return
        try:
            pools = pools_of(self._intent.entries, node, labels)
            if state.answering:
                await self._tell(state, pools)
        except DriverError as error:
            _ = self._told.pop(node, None)
            self._refused(node, str(error))

    async def _tell(self, state: NodeState, pools: tuple[PoolSettings, ...]) -> None:
        boot, now = state.info.boot_id if state.info else "", asyncio.get_running_loop().time()
        told = self._told.get(state.name)
        if told is None or told[:2] != (pools, boot) or now - told[2] >= self._again:
            await self._fleet.agent(state.name).choose_pools(pools)
            self._told[state.name] = (pools, boot, now)
        names = ", ".join(pool.name for pool in pools) or "none"
        self._outcomes[state.name] = condition(CONFIGURED, "True", "AsWanted", f"told to offer: {names}")

    def _refused(self, node: str, why: str) -> None:
        text = f"{why}; the node goes on offering what it was told before"
        self._outcomes[node] = condition(CONFIGURED, "False", "Refused", text)
