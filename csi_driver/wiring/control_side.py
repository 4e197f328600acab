"""The parts of a process that controls: the fleet and what listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from csi_driver.control.context import Context
from csi_driver.control.overdue import Overdue
from csi_driver.control.secrets import LostSecrets
from csi_driver.control.service import Controller
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.fleet.watcher import Timing


class ControlPart:
    """The controller over its members."""

    def __init__(self, members: Sequence[Member], timing: Timing | None = None) -> None:
        """Raises InvalidRequest when two members have one name."""
        self._fleet = Fleet(members, timing)
        context = Context(fleet=self._fleet)
        self._secrets = LostSecrets(context)
        self._overdue = Overdue(context)
        self.controller = Controller(context)
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Begin to listen to the members; whether all have been heard says ``Controller.ready``."""
        await self._fleet.start()
        self.tasks = (
            asyncio.create_task(self._secrets.run(), name="lost secrets"),
            asyncio.create_task(self._overdue.run(), name="overdue publications"),
        )

    async def quiesce(self) -> None:
        """Begin nothing new by ourselves."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        """Stop listening."""
        await self._fleet.stop()
