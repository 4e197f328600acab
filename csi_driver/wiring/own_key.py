"""The key that an agent makes for itself, new at each start: no key outlives its process, none lies on a disk."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import csi_driver
from csi_driver.errors import InvalidRequest
from csi_driver.kit.run import Command, HostRunner
from csi_driver.settings import Settings, TlsSettings
from csi_driver.wiring.identity import node_name

FOLDER = "identity"
NAME = "self"
"""What ``clinker pki self`` calls its files."""


class OwnKeyPart:
    """Makes the key by a short-lived command: the library that does it is not to stay in this process's memory."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.run_folder / FOLDER
        self._node = node_name(settings)
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Make it. Raises CommandFailed when that cannot be done."""
        packages = str(Path(csi_driver.__file__).parent.parent)
        command = ("-P", "-m", "csi_driver", "pki", "self", "--folder", str(self._folder), "--name", self._node)
        await HostRunner(environment={"PYTHONPATH": packages}).run(Command(argv=(sys.executable, *command)))

    async def quiesce(self) -> None:
        """It has ended."""

    async def close(self) -> None:
        """It has ended."""


def agent_tls(settings: Settings) -> tuple[TlsSettings, Path | None]:
    """What the agent serves with, and the token that it proves its node by, if it does so. InvalidRequest unless the
    settings have just one of the two ways.
    """
    agent = settings.agent
    if (agent.tls is None) == (agent.identity is None):
        raise InvalidRequest("a node needs either [agent.tls] or [agent.identity] in its settings")
    if agent.identity is None:
        assert agent.tls is not None  # noqa: S101  # just looked
        return agent.tls, None
    folder = settings.run_folder / FOLDER
    own = TlsSettings(ca=agent.identity.ca, certificate=folder / f"{NAME}.crt", key=folder / f"{NAME}.key")
    return own, agent.identity.token
