"""Finding snapshots, by name and by id. Unknown is not absent, as for volumes (``control.lookup``)."""

from __future__ import annotations

from csi_driver.control.context import Context
from csi_driver.control.lookup import Seen, ask
from csi_driver.control.requests import SnapshotView
from csi_driver.errors import NotFound, Unavailable
from csi_driver.fleet.port import AgentPort
from csi_driver.model.ids import SnapshotId
from csi_driver.model.snapshot import Snapshot


def show_snapshot(snapshot: Snapshot) -> SnapshotView:
    """As CSI shows it."""
    return SnapshotView(id=str(snapshot.id), source=str(snapshot.source), size=snapshot.size, created=snapshot.created)


async def look(context: Context, key: str) -> Seen[Snapshot]:
    """Every snapshot of a name, asked of every node that answers."""
    return await ask(context, lambda agent: agent.find_snapshots(key))


async def find_snapshot(context: Context, text: str) -> Snapshot:
    """The snapshot that an id names; its node answers.

    Raises NotFound when there is none, Unavailable when that cannot be known now or its node is silent.
    """
    identity = SnapshotId.parse(text)
    if identity is None:
        raise NotFound(f"there is no snapshot {text!r}")
    located = context.fleet.locate_snapshot(identity)
    if located is not None:
        context.fleet.agent(located)
        return context.fleet.node(located).snapshots[identity]
    found = await search(context, identity)
    if found is None:
        raise NotFound(f"there is no snapshot {text}")
    return found


async def find_owner(context: Context, identity: SnapshotId) -> str | None:
    """The node that holds the snapshot; None when it is proven that none does. Raises Unavailable."""
    located = context.fleet.locate_snapshot(identity)
    if located is not None:
        return located
    found = await search(context, identity)
    return found.node if found is not None else None


async def search(context: Context, identity: SnapshotId) -> Snapshot | None:
    """The snapshot, asked of everyone: another controller may have had it cut a moment ago. Raises Unavailable."""

    async def get(agent: AgentPort) -> tuple[Snapshot, ...]:
        try:
            return (await agent.get_snapshot(identity),)
        except NotFound:
            return ()

    seen = await ask(context, get)
    if seen.found:
        context.fleet.learn_snapshot(seen.found[0])
        return seen.found[0]
    if seen.silent:
        raise Unavailable(f"snapshot {identity} may lie on a node that does not answer: {seen.silence()}")
    return None
