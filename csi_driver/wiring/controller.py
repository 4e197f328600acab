"""``clinker controller``: CSI Identity and Controller over its agents, which come from a list or from Kubernetes.

Touches nothing of its host.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from csi_driver.control.cluster import ClusterPort
from csi_driver.errors import InvalidRequest
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.kit.effects import Effects
from csi_driver.metrics.placement import PlacementMetrics
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.metrics.usage import UsageMetrics
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.settings import FleetMember, KubernetesSettings, Settings, TlsSettings
from csi_driver.wiring.control_side import ControlPart
from csi_driver.wiring.effects import effects
from csi_driver.wiring.health import HealthPart
from csi_driver.wiring.metrics import MetricsPart
from csi_driver.wiring.process import Part, run
from csi_driver.wiring.scheduler import scheduler
from csi_driver.wiring.servers import CsiPart


async def controller(settings: Settings) -> int:
    """Run until told to stop; the exit status. Raises InvalidRequest for settings that cannot be."""
    return await run(parts(settings))


def parts(settings: Settings) -> tuple[Part, ...]:
    """What the process consists of, in the order of its start."""
    tls, chosen = settings.controller.tls, settings.controller
    if tls is None or bool(chosen.agents) == bool(chosen.kubernetes):
        raise InvalidRequest(
            "a controller needs [controller.tls] and either [[controller.agents]] or [controller.kubernetes]"
            " in its settings"
        )
    layer = effects(settings)
    if chosen.kubernetes is None:
        agents, fleet, cluster = _listed(chosen.agents, tls, layer)
    else:
        agents, fleet, cluster = _found(chosen.kubernetes, tls, layer)
    metrics = MetricsPart(settings.metrics)
    UsageMetrics(metrics.registry, fleet.uses)
    refused = PlacementMetrics(metrics.registry).refused
    control = ControlPart(fleet, scheduler(chosen.scheduler), refused, cluster)
    server = CsiServer(
        settings.endpoint,
        RpcMetrics(metrics.registry),
        ready=lambda: control.controller.ready,
        controller=control.controller,
    )
    health = HealthPart(settings.health, ready=lambda: control.controller.ready)
    return health, metrics, agents, control, CsiPart(server)


def _listed(members: Sequence[FleetMember], tls: TlsSettings, layer: Effects) -> tuple[Part, Fleet, ClusterPort | None]:
    """Agents of a static list."""
    clients = tuple(AgentClient(member.node, member.address, tls, effects=layer) for member in members)
    return Connections(clients), Fleet([Member(client.node, client) for client in clients]), None


def _found(settings: KubernetesSettings, tls: TlsSettings, layer: Effects) -> tuple[Part, Fleet, ClusterPort | None]:
    """Agents that Kubernetes knows."""
    from csi_driver.wiring.discovery import DiscoveryPart  # 36 MiB, for this way only

    fleet = Fleet([], complete=False)
    part = DiscoveryPart(settings, tls, fleet, layer)
    return part, fleet, part.claims


class Connections:
    """The connections to the agents, closed when nobody uses them any more."""

    def __init__(self, clients: tuple[AgentClient, ...]) -> None:
        self._clients = clients
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Each is made at the first call."""

    async def quiesce(self) -> None:
        """Calls that run may still need them."""

    async def close(self) -> None:
        """Close them."""
        for client in self._clients:
            await client.close()
