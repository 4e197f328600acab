"""A copy of some objects of the API server, kept up to date: list once, then watch.

As kubernetes.io, "API concepts: efficient detection of changes" says: a watch goes on from the version of the list,
or of the last event; when the server does not know that version any more (410), everything is listed again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from csi_driver.errors import DriverError
from csi_driver.kube.api import JSON, Api, Expired, Json

log = logging.getLogger(__name__)
T = TypeVar("T")

NAMES_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
"""Accept header for those who need an object's metadata alone (kubernetes.io, "Receiving resources as metadata")."""
NAME_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""The same for a watch, whose events are single objects: asked for lists, the API server ends the watch in silence at
its first event (seen with 1.37)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to follow: the path of a collection, and which of it."""

    path: str
    selector: str = ""
    """Of labels."""
    name: str = ""
    """Of the one object that is wanted."""
    accept: str = JSON

    @property
    def query(self) -> Mapping[str, str]:
        """Of list and watch alike."""
        labels = {"labelSelector": self.selector} if self.selector else {}
        return labels | ({"fieldSelector": f"metadata.name={self.name}"} if self.name else {})

    @property
    def accept_event(self) -> str:
        """``accept`` for a watch."""
        return NAME_ONLY if self.accept == NAMES_ONLY else self.accept


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Seconds between two tries after a failure: doubled from the first to the longest."""

    first: float = 0.5
    longest: float = 30.0
    between: float = 0.1
    """After a watch that ended well: a server that ends each at once must not be asked without end."""


class Informer(Generic[T]):
    """What ``read`` makes of each object, by the object's name. None: not of interest.

    ``changed`` is called after each change and when everything has been listed for the first time; it must not wait.
    While the API server does not answer the copy stays as it is.
    """

    def __init__(
        self,
        api: Api,
        source: Source,
        *,
        read: Callable[[Json], T | None],
        changed: Callable[[], None],
        pauses: Pauses | None = None,
        key: Callable[[Json], str] = lambda item: str(item["metadata"]["name"]),
    ) -> None:
        """``key``: what an object is known by in ``objects``."""
        self._key = key
        self._api, self._source, self._read, self._changed = api, source, read, changed
        self._pauses = pauses or Pauses()
        self._pause = self._pauses.first
        self._version = ""
        self.objects: dict[str, T] = {}
        self.synced = False

    async def run(self) -> None:
        """Never returns; cancel it."""
        while True:
            try:
                if not self._version:
                    await self._list()
                await self._watch()
                await asyncio.sleep(self._pauses.between)
            except Expired:
                log.info("listing again: the last version is too old", extra={"path": self._source.path})
                self._version = ""
                await self._back_off()
            except DriverError as error:
                log.warning("Kubernetes cannot be followed", extra={"path": self._source.path, "error": str(error)})
                await self._back_off()

    async def _back_off(self) -> None:
        await asyncio.sleep(self._pause * random.uniform(0.5, 1.0))  # noqa: S311  # no secret
        self._pause = min(self._pause * 2, self._pauses.longest)

    async def _list(self) -> None:
        listed = await self._api.get(self._source.path, self._source.query, accept=self._source.accept)
        found = {self._key(item): self._read(item) for item in listed.get("items") or ()}
        self.objects = {name: each for name, each in found.items() if each is not None}
        self._version = str(listed["metadata"]["resourceVersion"])
        self.synced = True
        self._pause = self._pauses.first
        self._changed()

    async def _watch(self) -> None:
        source = self._source
        events = self._api.watch(source.path, source.query, version=self._version, accept=source.accept_event)
        async with aclosing(events):
            async for event in events:
                self._pause = self._pauses.first
                self._take(str(event["type"]), event["object"])

    def _take(self, kind: str, item: Json) -> None:
        self._version = str(item["metadata"]["resourceVersion"])
        if kind == "BOOKMARK":
            return
        name = self._key(item)
        before = self.objects.pop(name, None)
        now = None if kind == "DELETED" else self._read(item)
        if now is not None:
            self.objects[name] = now
        if now != before:
            self._changed()
