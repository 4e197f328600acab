"""The controller's picture of all agents: who answers, and what each holds.

A member that does not answer stays known: it is neither empty nor gone (DESIGN 2). Members are a static list, or
come and go as whoever knows them says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace

from csi_driver.errors import InvalidRequest, NotFound, Unavailable
from csi_driver.fleet.port import AgentPort
from csi_driver.fleet.state import NodeState, apply, without_publication, without_snapshot, without_volume
from csi_driver.fleet.watcher import Timing, Watcher
from csi_driver.model.ids import SnapshotId, VolumeId
from csi_driver.model.inventory import Change, PublicationRef
from csi_driver.model.publication import Transport
from csi_driver.model.snapshot import Snapshot
from csi_driver.model.volume import Volume

log = logging.getLogger(__name__)

_UNHEARD = "has not been heard yet"
_NO_WAY = "no pod of its agent has been seen"


@dataclass(frozen=True, slots=True)
class Member:
    """One agent: the node's name as it is configured, and the way to it; None while none is known, which is one more
    way to be silent.
    """

    node: str
    port: AgentPort | None


class Fleet:
    """All agents. Reading it never waits; ``start`` first, ``stop`` at the end.

    What a verb of ours has just done may be told with ``learn`` and the like, so that the next request sees it
    before the agent's own message comes.
    """

    def __init__(self, members: Sequence[Member], timing: Timing | None = None, *, complete: bool = True) -> None:
        """``complete``: these are all; else more come by ``admit``, and ``complete`` is called after the first of
        them. Raises InvalidRequest when two members have one name.
        """
        self._timing = timing or Timing()
        self._complete = complete
        self._running = False
        self._ports: dict[str, AgentPort | None] = {}
        self._states: dict[str, NodeState] = {}
        self._listeners: list[Callable[[NodeState], None]] = []
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: set[str] = set()
        self._settled = asyncio.Event()
        for member in members:
            if not member.node or member.node in self._ports:
                raise InvalidRequest(f"controller.agents: node name {member.node!r} is empty or given twice")
            self._enter(member)

    async def start(self) -> None:
        """Begin to listen to every member; returns at once."""
        self._running = True
        for name in self._ports:
            self._listen(name)
        if self._complete:
            _ = self._begin(self._give_up(), "first contact")

    async def stop(self) -> None:
        """Stop listening. Agents and what they do are not touched."""
        self._running = False
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._watchers.clear()

    # -- members that come and go

    def admit(self, member: Member) -> None:
        """A new member, or a new way to one that is known, which is silent until it is heard there."""
        if member.node in self._states:
            self._unwatch(member.node)
            self._ports[member.node] = member.port
            was = self._states[member.node]
            self._states[member.node] = replace(was, silence=_UNHEARD if member.port else _NO_WAY)
        else:
            self._enter(member)
            log.info("node is known", extra={"node": member.node})
        if self._running:
            self._listen(member.node)

    def dismiss(self, node: str) -> None:
        """Forget a member and all that it held: it is gone for good. Fine when there is none."""
        if node in self._states:
            log.warning("node is forgotten", extra={"node": node})
            self._unwatch(node)
            del self._ports[node], self._states[node]
            self._contacted(node)

    def withhold(self, node: str, why: str) -> None:
        """Nothing new is to be made there, and why; empty: it may again. Fine when no node has that name."""
        state = self._states.get(node)
        if state is not None and state.withheld != why:
            log.info("node is withheld" if why else "node takes volumes again", extra={"node": node, "why": why})
            self._states[node] = replace(state, withheld=why)

    def complete(self) -> None:
        """All members that there are have been admitted: ``settled`` is a matter of hearing them now."""
        if not self._complete:
            self._complete = True
            _ = self._begin(self._give_up(), "first contact")
            self._contacted("")

    def _enter(self, member: Member) -> None:
        self._ports[member.node] = member.port
        self._states[member.node] = NodeState(name=member.node, silence=_UNHEARD if member.port else _NO_WAY)
        if member.port is not None:
            self._pending.add(member.node)

    def _listen(self, name: str) -> None:
        port = self._ports[name]
        if port is not None:
            watcher = Watcher(name, port, self._timing, heard=self._hear, lost=self._lose)
            self._watchers[name] = self._begin(watcher.run(), f"watch {name}")

    def _unwatch(self, name: str) -> None:
        if (task := self._watchers.pop(name, None)) is not None:
            task.cancel()

    def _begin(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- the first contact

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
        port = self._ports[name]
        if port is None or not state.answering:
            raise Unavailable(f"node {name} does not answer: {state.silence}")
        return port

    def locate(self, volume: VolumeId) -> str | None:
        """The node that holds the volume by what was last heard; None proves nothing."""
        for state in self._states.values():
            if volume in state.volumes:
                return state.name
        return None

    def locate_snapshot(self, snapshot: SnapshotId) -> str | None:
        """Likewise for a snapshot."""
        for state in self._states.values():
            if snapshot in state.snapshots:
                return state.name
        return None

    def uses(self) -> tuple[int, int]:
        """How many uses of volumes are allowed now, by what was last heard: local ones, and over the network. May be
        asked in any thread.
        """
        refs = [ref for state in tuple(self._states.values()) for ref in state.publications.values()]
        remote = sum(ref.transport is Transport.ISCSI for ref in refs)
        return len(refs) - remote, remote

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

    def learn_snapshot(self, snapshot: Snapshot) -> None:
        """The snapshot is there, as its agent has just answered."""
        state = self._states.get(snapshot.node)
        if state is not None and state.snapshots.get(snapshot.id) != snapshot:
            self._update(snapshot.node, Change(snapshots=(snapshot,)))

    def forget_snapshot(self, snapshot: SnapshotId) -> None:
        """The snapshot is gone, as its agent has just answered."""
        if (node := self.locate_snapshot(snapshot)) is not None:
            self._states[node] = without_snapshot(self._states[node], snapshot)

    def learn_publication(self, owner: str, ref: PublicationRef) -> None:
        """The agent of ``owner`` has just published it."""
        state = self._states.get(owner)
        if state is not None and state.publications.get((ref.volume, ref.node)) != ref:
            self._update(owner, Change(publications=(ref,)))

    def forget_publication(self, owner: str, volume: VolumeId, node: str) -> None:
        """The agent of ``owner`` has just ended that publication."""
        if owner in self._states:
            self._states[owner] = without_publication(self._states[owner], volume, node)

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
        if self._complete and not self._pending:
            self._settled.set()

    async def _give_up(self) -> None:
        """A member that neither answers nor refuses must not hold back the whole controller."""
        if self._pending:
            await asyncio.sleep(self._timing.first_contact)
        self._settled.set()
