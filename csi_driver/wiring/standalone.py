"""``clinker standalone``: all of CSI for one host in one process, without Kubernetes."""

from __future__ import annotations

from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.watcher import Timing
from csi_driver.metrics.placement import PlacementMetrics
from csi_driver.metrics.rpc import RpcMetrics
from csi_driver.rpc.csi_server import CsiServer
from csi_driver.settings import Settings
from csi_driver.wiring import lock
from csi_driver.wiring.control_side import ControlPart
from csi_driver.wiring.doors import HostDoors, host_doors
from csi_driver.wiring.effects import effects
from csi_driver.wiring.health import HealthPart
from csi_driver.wiring.identity import node_name
from csi_driver.wiring.metrics import MetricsPart
from csi_driver.wiring.node_side import AgentPart, PluginPart
from csi_driver.wiring.process import Part, run
from csi_driver.wiring.scheduler import scheduler
from csi_driver.wiring.servers import CsiPart

NEVER = 365 * 86400.0
"""Seconds of silence that an agent in our own process may keep: it sends no sign of life, as it cannot get lost."""


async def standalone(settings: Settings) -> int:
    """Run until told to stop; the exit status. Raises InvalidRequest for settings that cannot be."""
    async with lock.held(settings.state_folder):
        return await run(parts(settings, host_doors(settings, effects(settings))))


def parts(settings: Settings, doors: HostDoors) -> tuple[Part, ...]:
    """What the process consists of, in the order of its start."""
    metrics = MetricsPart(settings.metrics)
    plugin = PluginPart(settings, doors)
    agent = AgentPart(settings, doors, plugin.consumer, metrics.registry)
    control = ControlPart(
        Fleet([Member(node_name(settings), agent.agent)], Timing(silence=NEVER)),
        scheduler(settings.controller.scheduler),
        PlacementMetrics(metrics.registry).refused,
    )
    csi = CsiServer(
        settings.endpoint,
        RpcMetrics(metrics.registry),
        ready=lambda: control.controller.ready,
        controller=control.controller,
        node=plugin.plugin,
    )
    health = HealthPart(settings.health, ready=lambda: control.controller.ready)
    return health, metrics, plugin, agent, control, CsiPart(csi)
