"""Which nodes have an agent of ours, by what Kubernetes says (DESIGN 2, "Fleet")."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from csi_driver import DRIVER_NAME
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


def read_name(_item: Json) -> bool | None:
    """That it exists is all."""
    return True


def known(before: Agents, pods: Collection[AgentPod], nodes: Collection[str], registered: Collection[str]) -> Agents:
    """The known nodes now. A node that was known stays so while its Node object exists, with the last address: its
    agent may be silent, and is neither empty nor gone.
    """
    # The last one counts: of two pods, during an update, the new one, and in any case one that has an address.
    ranked = sorted(pods, key=lambda pod: (bool(pod.address), not pod.ending, pod.made))
    seen = {pod.node: pod.address for pod in ranked}
    kept = {node for node in before if node in nodes}
    return {node: seen.get(node) or before.get(node, "") for node in sorted(kept.union(seen, registered))}


class Discovery:
    """Follows pods, Nodes and CSINodes; ``told`` gets the known nodes when all three have been listed, and whenever
    they change. It must not wait.
    """

    def __init__(
        self, api: Api, settings: KubernetesSettings, told: Callable[[Agents], None], pauses: Pauses | None = None
    ) -> None:
        self._told = told
        self._agents: Agents | None = None
        pods = Source(path=f"/api/v1/namespaces/{settings.namespace}/pods", selector=settings.selector)
        nodes = Source(path="/api/v1/nodes", accept=NAMES_ONLY)
        registered = Source(path="/apis/storage.k8s.io/v1/csinodes")
        look = self._look
        self._pods = Informer(api, pods, read=read_pod, changed=look, pauses=pauses)
        self._nodes = Informer(api, nodes, read=read_name, changed=look, pauses=pauses)
        self._registered = Informer(api, registered, read=read_csi_node, changed=look, pauses=pauses)

    async def run(self) -> None:
        """Never returns; cancel it."""
        async with asyncio.TaskGroup() as group:
            for informer in (self._pods, self._nodes, self._registered):
                group.create_task(informer.run())

    def _look(self) -> None:
        if not (self._pods.synced and self._nodes.synced and self._registered.synced):
            return
        now = known(self._agents or {}, self._pods.objects.values(), self._nodes.objects, self._registered.objects)
        if now != self._agents:
            self._agents = now
            self._told(now)
