"""The controller's picture of all agents: who answers, and what each holds.

A member that does not answer stays known: it is neither empty nor gone (DESIGN 2). Members are a static list.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from csi_driver.errors import InvalidRequest, NotFound, Unavailable
from csi_driver.fleet.port import AgentPort
from csi_driver.fleet.state import NodeState, apply, without_publication, without_volume
from csi_driver.fleet.watcher import Timing, Watcher
from csi_driver.model.ids import VolumeId
from csi_driver.model.inventory import Change, PublicationRef
from csi_driver.model.volume import Volume

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """One agent: the node's name as it is configured, and the way to it."""

    node: str
    port: AgentPort


class Fleet:
    """All agents. Reading it never waits; ``start`` first, ``stop`` at the end.

    What a verb of ours has just done may be told with ``learn`` and the like, so that the next request sees it
    before the agent's own message comes.
    """

    def __init__(self, members: Sequence[Member], timing: Timing | None = None) -> None:
        """Raises InvalidRequest when two members have one name."""
        self._timing = timing or Timing()
        self._ports: dict[str, AgentPort] = {}
        self._states: dict[str, NodeState] = {}
        self._listeners: list[Callable[[NodeState], None]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._pending: set[str] = set()
        self._settled = asyncio.Event()
        for member in members:
            if not member.node or member.node in self._ports:
                raise InvalidRequest(f"controller.agents: node name {member.node!r} is empty or given twice")
            self._ports[member.node] = member.port
            self._states[member.node] = NodeState(name=member.node)
            self._pending.add(member.node)

    async def start(self) -> None:
        """Begin to listen to every member; returns at once."""
        for name, port in self._ports.items():
            watcher = Watcher(name, port, self._timing, heard=self._hear, lost=self._lose)
            self._tasks.append(asyncio.create_task(watcher.run(), name=f"watch {name}"))
        self._tasks.append(asyncio.create_task(self._give_up(), name="first contact"))

    async def stop(self) -> None:
        """Stop listening. Agents and what they do are not touched."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    @property
    def settled(self) -> bool:
        """Whether each member has been heard, or given up once since the start."""
        return self._settled.is_set()

    async def wait_settled(self) -> None:
        """Returns when ``settled`` is true; that takes ``Timing.first_contact`` seconds at most."""
        await self._settled.wait()

    def subscribe(self, listener: Callable[[NodeState], None]) -> None:
        """Call ``listener`` with a node's new picture after each message of its agent. It must not wait."""
        self._listeners.append(listener)

    # -- reading

    def nodes(self) -> tuple[NodeState, ...]:
        """Every known node, by name."""
        return tuple(self._states[name] for name in sorted(self._states))

    def answering(self) -> tuple[NodeState, ...]:
        """The nodes that answer."""
        return tuple(state for state in self.nodes() if state.answering)

    def silent(self) -> tuple[NodeState, ...]:
        """The nodes that do not: what they hold may have changed since."""
        return tuple(state for state in self.nodes() if not state.answering)

    def node(self, name: str) -> NodeState:
        """The picture of one node. NotFound when no node has that name."""
        if name not in self._states:
            raise NotFound(f"node {name!r} is not a member of this cluster's storage")
        return self._states[name]

    def agent(self, name: str) -> AgentPort:
        """The way to one node's agent. NotFound as in ``node``; Unavailable, saying why, when it is silent."""
        state = self.node(name)
        if not state.answering:
            raise Unavailable(f"node {name} does not answer: {state.silence}")
        return self._ports[name]

    def locate(self, volume: VolumeId) -> str | None:
        """The node that holds the volume by what was last heard; None proves nothing."""
        for state in self._states.values():
            if volume in state.volumes:
                return state.name
        return None

    def initiator_twins(self, name: str) -> tuple[str, ...]:
        """The other nodes that report the same iSCSI initiator name as this one."""
        own = self.node(name).initiator
        return tuple(each.name for each in self.nodes() if own and each.initiator == own and each.name != name)

    # -- telling it what we did

    def learn(self, volume: Volume) -> None:
        """The volume is there, as its agent has just answered."""
        state = self._states.get(volume.node)
        if state is not None and state.volumes.get(volume.id) != volume:
            self._update(volume.node, Change(volumes=(volume,)))

    def forget(self, volume: VolumeId) -> None:
        """The volume is gone, as its agent has just answered."""
        if (node := self.locate(volume)) is not None:
            self._states[node] = without_volume(self._states[node], volume)

    def learn_publication(self, owner: str, ref: PublicationRef) -> None:
        """The agent of ``owner`` has just published it."""
        if self.node(owner).publications.get((ref.volume, ref.node)) != ref:
            self._update(owner, Change(publications=(ref,)))

    def forget_publication(self, owner: str, volume: VolumeId, node: str) -> None:
        """The agent of ``owner`` has just ended that publication."""
        self._states[owner] = without_publication(self.node(owner), volume, node)

    def _update(self, name: str, change: Change) -> None:
        state = self._states.get(name)
        if state is not None:
            self._states[name] = replace(apply(state, change), silence=state.silence)

    # -- listening

    def _hear(self, name: str, change: Change) -> None:
        was = self._states[name]
        state = apply(was, change)
        self._states[name] = state
        self._contacted(name)
        if not was.answering:
            log.info("node answers", extra={"node": name})
        for listener in self._listeners:
            listener(state)

    def _lose(self, name: str, why: str) -> None:
        was = self._states[name]
        self._states[name] = replace(was, silence=why)
        self._contacted(name)
        if was.silence != why:
            log.warning("node does not answer", extra={"node": name, "why": why})

    def _contacted(self, name: str) -> None:
        self._pending.discard(name)
        if not self._pending:
            self._settled.set()

    async def _give_up(self) -> None:
        """A member that neither answers nor refuses must not hold back the whole controller."""
        if self._pending:
            await asyncio.sleep(self._timing.first_contact)
        self._settled.set()
