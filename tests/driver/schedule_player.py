"""Plays a random schedule: RPCs that overlap, are doubled and given up, pods that write, and troubles of all kinds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from csi_driver.agent.service import REFRESH
from csi_driver.errors import DriverError
from csi_driver.kit import deadline
from csi_driver.model.ids import volume_key
from csi_driver.testing.faults import KillAt, Killed, When
from tests.driver import schedule_view
from tests.driver.nodes import Node
from tests.driver.schedule_calls import LAYOUTS, NAMES, NODES, SIZE, Calls, Drawn
from tests.driver.schedule_cluster import Cluster, Replica
from tests.driver.schedule_model import Known, Model, Violation

T = TypeVar("T")
AT_ONCE = 5
PATIENCE = 5.0
"""Seconds a caller waits; it gives up for good after a minute."""
LIMIT = 10_000.0
"""Seconds, by a clock that jumps, for a whole schedule."""
TRACE = 150


class Player:
    """One schedule on one cluster."""

    def __init__(self, world: Cluster, dice: random.Random, *, calm: bool) -> None:
        self.world, self.dice = world, dice
        self._likely = 0.0 if calm else 0.04
        self.model = Model(world)
        self.calls = Calls(world, self.model, dice)
        self.trace: deque[str] = deque(maxlen=TRACE)
        self.outcomes: Counter[str] = Counter()
        self.running: set[asyncio.Task[None]] = set()
        self.wrong: list[str] = []
        self.number = 0
        self._marks = 0

    async def play(self, count: int) -> None:
        """``count`` RPCs with everything around them, then everything is given back. Raises Violation."""
        await self.world.new_controller()  # the second
        keepers = [asyncio.create_task(self._keep(node)) for node in self.world.nodes.values()]
        while self.number < count:
            await self._step()
            self._look()
        if self.running:
            await asyncio.wait(self.running)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await self.world.calm()
        self._look()
        await self._give_back()

    def note(self, text: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.3f} {text}")

    def _look(self) -> None:
        self.model.check()
        self.calls.copies.check()
        if self.wrong:
            raise Violation("; ".join(self.wrong))

    async def _step(self) -> None:
        dice = self.dice.random()
        if dice < self._likely:
            await self._trouble()
        elif dice < 0.14:
            self._spawn(self._write())
        elif dice < 0.17 and self.running:
            victim = self.dice.choice(sorted(self.running, key=lambda task: task.get_name()))
            self.note(f"cancel {victim.get_name()}")
            victim.cancel()
        elif len(self.running) < AT_ONCE:
            drawn = self.calls.draw()
            doubled = self.dice.random() < (0.5 if drawn.what.startswith("create") else 0.1)
            for replica in self.dice.sample(self.world.replicas, 2 if doubled else 1):
                self._call(drawn, replica)
        await asyncio.sleep(self.dice.choice((0.0, 0.0, 0.001, 0.01, 0.1)))
        while len(self.running) >= AT_ONCE:
            await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str = "", replica: Replica | None = None) -> None:
        self._marks += 1
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"{self._marks:06} {name}")
        for group in (self.running, replica.calls if replica else self.running):
            group.add(task)
            task.add_done_callback(group.discard)

    def _call(self, drawn: Drawn, replica: Replica) -> None:
        self.number += 1
        self._spawn(self._ask(drawn, self.number, replica), drawn.what, replica)

    async def _ask(self, drawn: Drawn, number: int, replica: Replica) -> None:
        self.note(f"#{number} {drawn.what}")
        outcome = "?"
        try:
            async with asyncio.timeout(60):
                with deadline.expires_in(PATIENCE):
                    await drawn.call(replica.controller)
            outcome = "ok"
        except asyncio.CancelledError:
            outcome = "given up"
            raise
        except (DriverError, Killed) as error:
            outcome = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            outcome = f"{type(error).__name__}: {error}"
            self.wrong.append(f"#{number} {drawn.what}: {outcome}")
        finally:
            self.note(f"#{number} {outcome}")
            self.outcomes[f"{drawn.what.split(' vol')[0].split(' pvc')[0]} {outcome.split(':')[0]}"] += 1

    # -- pods

    async def _write(self) -> None:
        known = [each for each in self.model.known.values() if not each.deleted]
        if not known:
            return
        volume = self.dice.choice(known)
        for node in NODES:
            use = self.world.place(volume.id, node, volume.capability)
            host = self.world[node].host
            running = (volume.id, node) in self.calls.pods
            if running and host.machine.on and any(mount.target == use.target for mount in host.machine.mounts):
                await self._write_to(volume, node, use.target)
                return

    async def _write_to(self, volume: Known, node: str, target: str) -> None:
        self._marks += 1
        mark = b"w%07d" % self._marks
        if allowed := self.model.may_write(volume.id, node):
            volume.accepted.add(mark)
            volume.ever.add(mark)
        path = target if volume.offset == 0 else f"{target}/file"
        try:
            async with asyncio.timeout(5):
                await self.world[node].host.write(path, mark)
        except (OSError, TimeoutError) as error:
            self.outcomes[f"write {type(error).__name__}"] += 1
            self.note(f"write {mark!r} on {node} to {volume.id}: {error}")
            return
        self.note(f"write {mark!r} on {node} to {volume.id}: ok")
        self.outcomes["write ok"] += 1
        if not allowed and not self.model.may_write(volume.id, node):
            self.wrong.append(f"{node} has written {mark!r} to {volume.id} after it was shut out")

    # -- troubles

    async def _trouble(self) -> None:
        self.world.upset()
        kind = self.dice.choice(("kill", "kill", "effect", "effect", "power", "controller", "cut", "heal", "loss"))
        node = self.dice.choice(NODES)
        self.note(f"{kind} {node}")
        self.outcomes[f"trouble {kind}"] += 1
        if kind == "kill":
            self.world[node].crash()
        elif kind == "effect":
            moments: tuple[When, When] = ("before", "after")
            self.world[node].host.effects.layer = KillAt(self.dice.randint(1, 12), self.dice.choice(moments))
        elif kind == "power" and self.world[node].host.machine.on:
            self.world[node].crash(power=True)
            for each in [each for each in self.calls.pods if each[1] == node]:
                del self.calls.pods[each]
        elif kind == "controller":
            await self._new_controller()
        elif kind == "cut":
            self.world.network.cut(node, self.dice.choice(("controller", *NODES)))
        elif kind == "heal":
            for other in ("controller", *NODES):
                self.world.network.heal(node, other)
        elif kind == "loss":
            self.world.weather.lost = 0.0 if self.world.weather.lost else 0.1

    async def _new_controller(self) -> None:
        index = self.dice.randrange(len(self.world.replicas))
        old = self.world.replicas[index]
        self.world.replicas[index] = await self.world.new_replica()
        await old.end()

    async def _keep(self, node: Node) -> None:
        """Processes come back by themselves, machines too."""
        while True:
            await asyncio.sleep(self.dice.random() * 0.2)
            if not node.host.machine.on:
                node.host.power_on()
                self.world.upset()
            if node.process is None:
                await node.start()
                self.world.upset()

    # -- the end

    async def _give_back(self) -> None:
        """Everything is given back as a caller would; then nothing may be left anywhere."""
        await self.world.new_controller()
        for volume, node in sorted(self.calls.uses):
            use = self.world.place(volume, node)
            self.calls.let_go(use)
            await self._until_ok(f"unbind {volume} {node}", partial(self.world.unbind, use))
            await self._until_ok(f"unstage {volume} {node}", partial(self.world.unstage, use))
        for volume in sorted(self.model.known):
            self.model.unpublish_begins(volume, NODES)
            await self._delete(volume)
            self.model.deleted(volume)
        for name in NAMES:
            await self._delete_name(name)
        await self.calls.copies.give_back(self._until_ok)
        await asyncio.sleep(REFRESH + 1)
        left = await self.world.cleaned()
        if left:
            raise Violation(f"left behind: {left}")
        self.model.check()

    async def _delete(self, volume: str) -> None:
        await self._until_ok(f"unpublish {volume}", partial(self.world.detach, volume, ""))
        await self._until_ok(f"delete {volume}", partial(self.world.delete, volume))

    async def _delete_name(self, name: str) -> None:
        """What nobody was told of: found again by its name, one by one."""
        key = volume_key(name)
        create = partial(self.world.create, name, SIZE, NAMES[name], layout=LAYOUTS[name])
        while any(key in each for each in schedule_view.volumes(self.world)):
            made = await self._until_ok(f"create {name}", create)
            await self._delete(made.id)

    async def _until_ok(self, what: str, verb: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(300):
                return await self.world.until_ok(verb, patience=120)
        except (AssertionError, TimeoutError) as error:
            raise Violation(f"{what}: {error!r}") from error


async def play(seed: str, count: int, *, calm: bool) -> tuple[Counter[str], str]:
    """``calm``: nothing dies, and nothing is cut or lost; only calls overlap.

    How calls ended, and what went wrong with the last of what happened; empty when nothing did.
    """
    dice = random.Random(seed)
    random.seed(seed)
    async with Cluster.drawn(dice) as world:
        player = Player(world, dice, calm=calm)
        try:
            async with asyncio.timeout(LIMIT):
                await player.play(count)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is a finding
            return player.outcomes, "\n".join([*player.trace, f"{type(error).__name__}: {error}"])
        finally:
            for task in player.running:
                task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(*player.running, return_exceptions=True)
    return player.outcomes, ""
