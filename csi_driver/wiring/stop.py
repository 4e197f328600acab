"""``clinker stop-exports``: the agent's parts without its server."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from csi_driver.agent import stop
from csi_driver.settings import Settings
from csi_driver.wiring import lock
from csi_driver.wiring.doors import host_doors
from csi_driver.wiring.effects import effects
from csi_driver.wiring.node_side import AgentPart, PluginPart


async def stop_exports(settings: Settings) -> int:
    """How many volumes were exported. Waits while the node process runs."""
    async with lock.held(settings.state_folder):
        doors = host_doors(settings, effects(settings))
        agent = AgentPart(settings, doors, PluginPart(settings, doors).consumer, CollectorRegistry())
        return await stop.stop_exports(agent.context)
