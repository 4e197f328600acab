"""``clinker controller``: CSI Identity and Controller over a static list of agents. Touches nothing of its host."""

from __future__ import annotations

import asyncio

from csi_driver.errors import InvalidRequest
from csi_driver.fleet.fleet import Member
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.agent_client import AgentClient
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.settings import Settings
from csi_driver.wiring.control_side import ControlPart
from csi_driver.wiring.effects import effects
from csi_driver.wiring.metrics import MetricsPart
from csi_driver.wiring.process import Part, run
from csi_driver.wiring.servers import CsiPart


async def controller(settings: Settings) -> int:
    """Run until told to stop; the exit status. Raises InvalidRequest for settings that cannot be."""
    return await run(parts(settings))


def parts(settings: Settings) -> tuple[Part, ...]:
    """What the process consists of, in the order of its start."""
    tls = settings.controller.tls
    if tls is None or not settings.controller.agents:
        raise InvalidRequest("a controller needs [controller.tls] and [[controller.agents]] in its settings")
    layer = effects(settings)
    clients = tuple(
        AgentClient(member.node, member.address, tls, effects=layer) for member in settings.controller.agents
    )
    control = ControlPart([Member(client.node, client) for client in clients])
    metrics = MetricsPart(settings.metrics)
    server = CsiServer(
        settings.endpoint,
        RpcMetrics(metrics.registry),
        ready=lambda: control.controller.ready,
        controller=control.controller,
    )
    return metrics, Connections(clients), control, CsiPart(server)


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
