"""``clinker node``: CSI Identity and Node for kubelet, and the Agent service for controllers."""

from __future__ import annotations

from csi_driver.errors import InvalidRequest
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.settings import Settings
from csi_driver.wiring import lock
from csi_driver.wiring.doors import HostDoors, host_doors
from csi_driver.wiring.effects import effects
from csi_driver.wiring.health import HealthPart
from csi_driver.wiring.metrics import MetricsPart
from csi_driver.wiring.node_side import AgentPart, PluginPart
from csi_driver.wiring.own_key import OwnKeyPart, agent_tls
from csi_driver.wiring.process import Part, run
from csi_driver.wiring.registration import RegistrationPart
from csi_driver.wiring.servers import AgentServerPart, CsiPart


async def node(settings: Settings) -> int:
    """Run until told to stop; the exit status. Raises InvalidRequest for settings that cannot be."""
    async with lock.held(settings.state_folder):
        return await run(parts(settings, host_doors(settings, effects(settings))))


def parts(settings: Settings, doors: HostDoors) -> tuple[Part, ...]:
    """What the process consists of, in the order of its start.

    Pods are served first, and Probe is true at once: a volume that takes long to be exported again must neither keep
    a pod from ending nor get this process killed by its liveness probe.
    """
    if not settings.agent.listen:
        raise InvalidRequest("a node needs agent.listen in its settings")
    tls, token = agent_tls(settings)
    metrics = MetricsPart(settings.metrics)
    counted = RpcMetrics(metrics.registry)
    plugin = PluginPart(settings, doors)
    agent = AgentPart(settings, doors, plugin.consumer, metrics.registry)
    csi = CsiServer(settings.endpoint, counted, ready=lambda: True, node=plugin.plugin)
    registration = RegistrationPart(settings.kubelet, counted)
    agents = AgentServerPart(agent.agent, settings.agent.listen, tls, token=token, metrics=counted)
    health = HealthPart(settings.health, ready=lambda: agents.serving and registration.registered)
    own_key = (OwnKeyPart(settings),) if token is not None else ()
    return health, metrics, plugin, CsiPart(csi), registration, agent, *own_key, agents
