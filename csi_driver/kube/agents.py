"""Which nodes have an agent of ours, by what Kubernetes says (DESIGN 2, "Fleet")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from csi_driver import DRIVER_NAME
from csi_driver.kube import storage_node
from csi_driver.kube.api import Api, Json
from csi_driver.kube.informer import NAMES_ONLY, Informer, Pauses, Source
from csi_driver.settings import KubernetesSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """One pod of the DaemonSet that has a node."""

    node: str
    address: str
    """Its IP, which is its node's; empty before it has one."""
    ending: bool
    made: str
    """When, in RFC 3339: sorts by time."""


Agents = Mapping[str, str]
"""Known nodes, each with the IP of its agent; empty when no pod has been seen there yet."""


Withheld = Mapping[str, str]
"""Nodes where the operator wants nothing new, each with the reason in words."""


def read_pod(item: Json) -> AgentPod | None:
    """None before it has been scheduled."""
    node = item.get("spec", {}).get("nodeName", "")
    if not node:
        return None
    metadata, status = item["metadata"], item.get("status", {})
    over = status.get("phase") in ("Failed", "Succeeded")
    return AgentPod(
        node=node,
        address=status.get("podIP", ""),
        ending=over or "deletionTimestamp" in metadata,
        made=metadata.get("creationTimestamp") or "",
    )


def read_csi_node(item: Json) -> bool | None:
    """True when kubelet has our driver registered there."""
    drivers = item.get("spec", {}).get("drivers") or ()
    return any(driver.get("name") == DRIVER_NAME for driver in drivers) or None


def read_labels(item: Json) -> Mapping[str, str]:
    """Beside that it exists, its labels are all."""
    return dict(item["metadata"].get("labels") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What there is, in the API server's words: names of nodes, but for the pods."""

    pods: Collection[AgentPod] = ()
    nodes: Collection[str] = ()
    registered: Collection[str] = ()
    """Where kubelet has our driver."""
    stored: Collection[str] = ()
    """That have a StorageNode."""


def known(before: Agents, seen: Seen) -> Agents:
    """The known nodes now. A node that was known stays so while its Node object exists, with the last address: its
    agent may be silent, and is neither empty nor gone. One with a StorageNode is known until the operator deletes that.
    """
    # The last one counts: of two pods, during an update, the new one, and in any case one that has an address.
    ranked = sorted(seen.pods, key=lambda pod: (bool(pod.address), not pod.ending, pod.made))
    addresses = {pod.node: pod.address for pod in ranked}
    kept = {node for node in before if node in seen.nodes}
    names = sorted(kept.union(addresses, seen.registered, seen.stored))
    return {node: addresses.get(node) or before.get(node, "") for node in names}


class Discovery:
    """Follows pods, Nodes, CSINodes and StorageNodes. ``told`` gets the known nodes, and why the operator withholds
    some of them, when all have been listed and whenever that changes; it must not wait.
    """

    def __init__(
        self,
        api: Api,
        settings: KubernetesSettings,
        told: Callable[[Agents, Withheld], None],
        pauses: Pauses | None = None,
    ) -> None:
        self._told = told
        self._known: tuple[Agents, Withheld] | None = None
        pods = Source(path=f"/api/v1/namespaces/{settings.namespace}/pods", selector=settings.selector)
        nodes = Source(path="/api/v1/nodes", accept=NAMES_ONLY)
        registered = Source(path="/apis/storage.k8s.io/v1/csinodes")
        stored = Source(path=storage_node.PATH)
        look = self._look
        self._pods = Informer(api, pods, read=read_pod, changed=look, pauses=pauses)
        self.nodes = Informer(api, nodes, read=read_labels, changed=look, pauses=pauses)
        self._registered = Informer(api, registered, read=read_csi_node, changed=look, pauses=pauses)
        self._intents: Withheld | None = None
        self.stored = Informer(api, stored, read=storage_node.read, changed=self._look_at_stored, pauses=pauses)

    async def run(self) -> None:
        """Never returns; cancel it."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._pods, self.nodes, self._registered, self.stored):
                group.create_task(informer.run())

    def _look_at_stored(self) -> None:
        """Most of their changes are of their status, which is written by us."""
        intents = {name: each.withheld for name, each in self.stored.objects.items()}
        if intents != self._intents:
            self._intents = intents
            self._look()

    def _look(self) -> None:
        synced = self._pods.synced and self.nodes.synced and self._registered.synced
        if not synced or self._intents is None:
            return
        seen = Seen(
            pods=self._pods.objects.values(),
            nodes=self.nodes.objects,
            registered=self._registered.objects,
            stored=self._intents,
        )
        before = self._known[0] if self._known else {}
        now = (known(before, seen), {name: why for name, why in self._intents.items() if why})
        if now != self._known:
            self._known = now
            self._told(*now)
