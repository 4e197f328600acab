"""The cluster that random schedules are played on: two controllers, and answers that get lost, all by one seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from csi_driver.agent.service import Agent
from csi_driver.control.context import Context
from csi_driver.control.overdue import Overdue
from csi_driver.control.reservations import Reservations
from csi_driver.control.secrets import LostSecrets, Pace
from csi_driver.control.service import Controller
from csi_driver.errors import Unavailable
from csi_driver.fleet.fleet import Fleet, Member
from csi_driver.model.ids import COPY_LENGTH
from csi_driver.testing.network import SimNetwork
from tests.driver.nodes import Line, Node, NodeSpec
from tests.driver.world import TIMING, World

T = TypeVar("T")
DELAYS = (0.0, 0.0, 0.001, 0.005, 0.02)
"""Seconds on the way there, and on the way back."""
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
SPECS = (NodeSpec(name="a"), NodeSpec(name="b"), NodeSpec(name="c", size=0))


@dataclass
class Weather:
    """How likely it is that an answer of an agent gets lost on its way, after all was done."""

    dice: random.Random
    lost: float = 0.0


@dataclass(frozen=True)
class WeakLine(Line):
    """A way to an agent on which answers get lost, and nothing arrives at once."""

    weather: Weather

    async def _ask(self, verb: Callable[[Agent], Awaitable[T]]) -> T:
        await asyncio.sleep(self.weather.dice.choice(DELAYS))
        answer = await super()._ask(verb)
        await asyncio.sleep(self.weather.dice.choice(DELAYS))
        if self.weather.dice.random() < self.weather.lost:
            raise Unavailable(f"the answer of {self.node.spec.name} was lost")
        return answer


@dataclass
class Replica:
    """One run of a controller process."""

    controller: Controller
    fleet: Fleet
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    calls: set[asyncio.Task[None]] = field(default_factory=set)
    """RPCs that it works on: they end with it."""

    async def end(self) -> None:
        """As if it was killed."""
        for task in [*self.tasks, *self.calls]:
            task.cancel()
        self.controller.close()
        await self.fleet.stop()
        await asyncio.gather(*self.tasks, *self.calls, return_exceptions=True)


@dataclass
class Cluster(World):
    """A ``World`` whose controllers can die, over lines that lose answers."""

    dice: random.Random = field(default_factory=random.Random)
    weather: Weather = field(default_factory=lambda: Weather(random.Random(0)))
    replicas: list[Replica] = field(default_factory=list)
    upsets: int = 0
    """Troubles so far."""
    last_upset: float = 0.0

    def upset(self) -> None:
        """Some trouble begins, or ends, now."""
        self.upsets += 1
        self.last_upset = asyncio.get_running_loop().time()

    def is_calm(self, since: int) -> bool:
        """Whether everybody was up and could be reached since ``upsets`` had this value, and a while before."""
        up = all(node.process is not None for node in self.nodes.values())
        whole = all(self.network.linked("controller", name) for name in self.nodes)
        long_ago = not self.upsets or asyncio.get_running_loop().time() - self.last_upset > 2.0
        return up and whole and long_ago and not self.weather.lost and since == self.upsets

    @classmethod
    def drawn(cls, dice: random.Random) -> Cluster:
        """Hosts and nothing running yet."""
        network = SimNetwork()
        nodes = {spec.name: Node(spec, network) for spec in SPECS}
        return cls(network, nodes, dice=dice, weather=Weather(dice))

    async def new_controller(self) -> Controller:
        replica = await self.new_replica()
        self.replicas.append(replica)
        return replica.controller

    async def new_replica(self) -> Replica:
        """One more controller process; it has not heard anyone yet."""
        lines = [Member(name, WeakLine(node, self.network, self.weather)) for name, node in self.nodes.items()]
        fleet = Fleet(lines, TIMING)
        await fleet.start()
        clock = asyncio.get_running_loop().time
        context = Context(fleet=fleet, draw_copy=self._draw_copy, reservations=Reservations(clock))
        self.controllers.append(Controller(context))
        work = (Overdue(context, pause=0.05).run(), LostSecrets(context, Pace(first=0.1, longest=1.0)).run())
        return Replica(self.controllers[-1], fleet, [asyncio.create_task(each) for each in work])

    def _draw_copy(self) -> str:
        return "".join(self.dice.choice(LETTERS) for _ in range(COPY_LENGTH))

    async def __aexit__(self, *_: object) -> None:
        for replica in self.replicas:
            await replica.end()
        for node in self.nodes.values():
            node.crash()

    async def calm(self) -> None:
        """Nothing is cut, lost or dead any more."""
        self.weather.lost = 0.0
        names = ("controller", *self.nodes)
        for one in names:
            for other in names:
                self.network.heal(one, other)
        for node in self.nodes.values():
            if not node.host.machine.on:
                node.host.power_on()
        await self.revive()
