"""The parts of a process that controls: the fleet and what listens to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from csi_driver.control.abandoned import Abandoned
from csi_driver.control.cluster import ClusterPort
from csi_driver.control.context import Context
from csi_driver.control.overdue import Overdue
from csi_driver.control.secrets import LostSecrets
from csi_driver.control.service import Controller
from csi_driver.fleet.fleet import Fleet
from csi_driver.scheduler.decide import Scheduler


class ControlPart:
    """The controller over its members."""

    def __init__(
        self,
        fleet: Fleet,
        scheduler: Scheduler,
        refused: Callable[[Iterable[str]], None],
        cluster: ClusterPort | None = None,
    ) -> None:
        """``refused`` counts refusals of filters by name; ``cluster`` is Kubernetes, where there is one."""
        self._fleet = fleet
        context = Context(fleet=fleet, scheduler=scheduler, refused=refused, cluster=cluster)
        self._secrets = LostSecrets(context)
        self._overdue = Overdue(context)
        self._abandoned = Abandoned(context)
        self.controller = Controller(context)
        self.tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Begin to listen to the members; whether all have been heard says ``Controller.ready``."""
        await self._fleet.start()
        self.tasks = (
            asyncio.create_task(self._secrets.run(), name="lost secrets"),
            asyncio.create_task(self._overdue.run(), name="overdue publications"),
            asyncio.create_task(self._abandoned.run(), name="abandoned copies"),
        )

    async def quiesce(self) -> None:
        """Begin nothing new by ourselves."""
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def close(self) -> None:
        """Stop listening."""
        self.controller.close()
        await self._fleet.stop()
