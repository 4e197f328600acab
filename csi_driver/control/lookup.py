"""Finding volumes. Unknown is not absent: a volume is gone only when every known node has said so."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from csi_driver.control.context import Context
from csi_driver.errors import DriverError, NotFound, Unavailable
from csi_driver.fleet.port import AgentPort
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Content, Volume

log = logging.getLogger(__name__)
T = TypeVar("T")
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[T]):
    """What the nodes said just now: those that answered, and why the others did not."""

    found: tuple[T, ...]
    answered: frozenset[str]
    silent: Mapping[str, str]

    def silence(self) -> str:
        """Who did not answer, for an error."""
        shown = [f"{node} ({why})" for node, why in sorted(self.silent.items())[:SHOWN]]
        more = f" and {len(self.silent) - SHOWN} more" if len(self.silent) > SHOWN else ""
        return ", ".join(shown) + more


async def look(context: Context, key: str) -> Seen[Volume]:
    """Every volume of a name, claims too: asked of every node that answers, all at once."""
    return await ask(context, lambda agent: agent.find(key))


async def find_owner(context: Context, volume: VolumeId) -> str | None:
    """The node that holds the volume, finished or not; None when it is proven that none does.

    Raises Unavailable when that cannot be known now.
    """
    located = context.fleet.locate(volume)
    if located is not None:
        return located
    found = await _search(context, volume)
    return found.node if found is not None else None


async def find_volume(context: Context, text: str) -> Volume:
    """The finished volume that an id names; its node answers.

    Raises NotFound when there is none or it is only a claim, Unavailable when that cannot be known now.
    """
    volume = VolumeId.parse(text)
    if volume is None:
        raise NotFound(f"there is no volume {text!r}")
    found = await _told(context, volume)
    if found is None:
        found = await _search(context, volume)
    if found is None or found.content is not Content.READY:
        raise NotFound(f"there is no volume {text}")
    context.fleet.learn(found)
    return found


async def _told(context: Context, volume: VolumeId) -> Volume | None:
    """The volume by what its node told, asked again while it is unfinished there; None when nobody told of it."""
    located = context.fleet.locate(volume)
    if located is None:
        return None
    agent = context.fleet.agent(located)
    told = context.fleet.node(located).volumes.get(volume)
    return told if told is not None and told.content is Content.READY else await agent.get(volume)


async def _search(context: Context, volume: VolumeId) -> Volume | None:
    """The volume, asked of everyone: another controller may have made it a moment ago."""

    async def get(agent: AgentPort) -> tuple[Volume, ...]:
        try:
            return (await agent.get(volume),)
        except NotFound:
            return ()

    seen = await ask(context, get)
    if seen.found:
        return seen.found[0]
    if seen.silent:
        raise Unavailable(f"volume {volume} may lie on a node that does not answer: {seen.silence()}")
    return None


async def ask(context: Context, verb: Callable[[AgentPort], Awaitable[tuple[T, ...]]]) -> Seen[T]:
    """One question to every node at once. Who is too slow, or has trouble, counts as silent."""
    await context.fleet.wait_settled()
    silent = {state.name: state.silence for state in context.fleet.silent()}
    names = [state.name for state in context.fleet.answering()]

    async def one(name: str) -> tuple[T, ...] | None:
        try:
            async with asyncio.timeout(context.patience.look):
                return await verb(context.fleet.agent(name))
        except TimeoutError:
            silent[name] = f"no answer within {context.patience.look:g} s"
        except DriverError as error:
            silent[name] = str(error)
        return None

    answers = dict(zip(names, await asyncio.gather(*map(one, names)), strict=True))
    return Seen(
        found=tuple(each for answer in answers.values() for each in answer or ()),
        answered=frozenset(name for name, answer in answers.items() if answer is not None),
        silent=silent,
    )
