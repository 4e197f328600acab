"""New CHAP secrets for nodes that have lost theirs (DESIGN 4): set at both ends, the storage node first."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass

from csi_driver.control.context import Context
from csi_driver.control.publish import grant
from csi_driver.errors import DriverError, Incompatible
from csi_driver.fleet.state import NodeState
from csi_driver.model.access import AccessType
from csi_driver.model.ids import VolumeId
from csi_driver.model.inventory import PublicationRef
from csi_driver.model.publication import PublishRequest, Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds between two tries for one volume: doubled from the first to the longest while it stays wanted.
    ``limit`` is how long one try may take.
    """

    first: float = 2.0
    longest: float = 60.0
    limit: float = 20.0


@dataclass(frozen=True, slots=True)
class _Try:
    due: float
    pause: float


class LostSecrets:
    """Answers what agents want. Several controllers may do so at once: what the storage node has counts."""

    def __init__(self, context: Context, pace: Pace | None = None) -> None:
        self._context, self._pace = context, pace or Pace()
        self._told = asyncio.Event()
        self._tries: dict[tuple[VolumeId, str], _Try] = {}
        context.fleet.subscribe(self._listen)

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            self._told.clear()
            wanted = dict(self._wanted())
            self._tries = {key: tried for key, tried in self._tries.items() if key in wanted}
            await asyncio.gather(*(self._try(owner, ref) for owner, ref in wanted.values()))
            pause = min((tried.due for tried in self._tries.values()), default=None)
            try:
                async with asyncio.timeout_at(pause):
                    await self._told.wait()
            except TimeoutError:
                continue

    def _listen(self, state: NodeState) -> None:
        # Whoever speaks may be the one that was missing: the node that wants, or the one that can give.
        if state.wanted or any(each.wanted for each in self._context.fleet.nodes()):
            self._told.set()

    def _wanted(self) -> Iterator[tuple[tuple[VolumeId, str], tuple[str, PublicationRef]]]:
        """What is wanted, published over iSCSI, and can be served now: both ends answer."""
        fleet = self._context.fleet
        for consumer in fleet.answering():
            for volume in sorted(consumer.wanted):
                owner = fleet.locate(volume)
                if owner is None or not fleet.node(owner).answering:
                    continue
                ref = fleet.node(owner).publications.get((volume, consumer.name))
                if ref is not None and ref.transport is Transport.ISCSI:
                    yield (volume, consumer.name), (owner, ref)

    async def _try(self, owner: str, ref: PublicationRef) -> None:
        volume, node = ref.volume, ref.node
        last = self._tries.get((volume, node))
        if last is not None and last.due > asyncio.get_running_loop().time():
            return
        try:
            async with asyncio.timeout(self._pace.limit):
                await self._renew(owner, ref)
            log.info("secret replaced", extra={"volume": str(volume), "node": node})
        except (DriverError, TimeoutError) as error:
            log.warning("secret not replaced", extra={"volume": str(volume), "node": node, "error": str(error)})
        pause = min(last.pause * 2, self._pace.longest) if last else self._pace.first
        # Drawn, so that two controllers do not keep doing the same at the same moment.
        due = asyncio.get_running_loop().time() + pause * random.uniform(0.75, 1.25)  # noqa: S311  # no secret
        self._tries[volume, node] = _Try(due, pause)

    async def _renew(self, owner: str, ref: PublicationRef) -> None:
        """Order the same publication with a new secret. Its public form does not say all of how it was ordered; an
        order that differs is refused without effect, so the next form is tried.
        """
        fleet = self._context.fleet
        volume = fleet.node(owner).volumes.get(ref.volume)
        made = AccessType.BLOCK if volume is None else volume.access
        order = PublishRequest(
            volume=ref.volume,
            node=ref.node,
            transport=ref.transport,
            mode=ref.mode,
            access=made,
            readonly=ref.readonly,
            initiator=fleet.node(ref.node).initiator,
            new_secret=True,
        )
        refused: Incompatible | None = None
        for readonly in (ref.readonly, ref.readonly and not ref.mode.reader_only):
            for access in (made, AccessType.BLOCK):
                try:
                    await grant(self._context, owner, dataclasses.replace(order, readonly=readonly, access=access))
                    return
                except Incompatible as error:
                    refused = error
        if refused is not None:
            raise refused
