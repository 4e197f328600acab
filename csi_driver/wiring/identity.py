"""Who this node is, as the agent tells it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

from csi_driver import __version__
from csi_driver.errors import DriverError
from csi_driver.host.doors import Hosts, Initiator
from csi_driver.model.inventory import AgentInfo
from csi_driver.model.topology import NODE_KEY, ZONE_KEY
from csi_driver.settings import Settings

LOOK = 30.0
"""Seconds between looks at the initiator's name: open-iscsi may be installed, or renamed, while we run."""


def node_name(settings: Settings) -> str:
    """As set, or the host's name."""
    return settings.node or socket.gethostname()


class NodeIdentity:
    """The facts, with the initiator's name as it was at the last look."""

    def __init__(self, settings: Settings, host: Hosts, initiator: Initiator) -> None:
        self._settings, self._host, self._initiator = settings, host, initiator
        self._name = ""

    def describe(self) -> AgentInfo:
        """At once, from memory."""
        settings = self._settings
        node = node_name(settings)
        zone = {ZONE_KEY: settings.zone} if settings.zone else {}
        return AgentInfo(
            node=node,
            boot_id=self._host.boot_id(),
            initiator=self._name,
            portals=settings.agent.portals,
            segments={NODE_KEY: node, **zone},
            driver_version=__version__,
            max_volumes=settings.consumer.max_volumes,
        )

    async def look(self) -> None:
        """Read the initiator's name. A name that was there and cannot be read now stays: unknown is not absent."""
        with contextlib.suppress(DriverError):  # a host without open-iscsi is a fit storage node
            self._name = await self._initiator.name()

    async def follow(self, told: Callable[[AgentInfo], None]) -> None:
        """For ever: look, and tell what is the case."""
        while True:
            await asyncio.sleep(LOOK)
            await self.look()
            told(self.describe())
