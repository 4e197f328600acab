"""Events: what people read in ``kubectl describe``. Written by the holder of the lease alone, and seldom."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from dataclasses import dataclass
from datetime import UTC, datetime

from csi_driver import DRIVER_NAME
from csi_driver.kube.api import Api, Conflict

AGAIN = 3000.0
"""Seconds after which the same words are written once more: the API server keeps an event for an hour (its
``--event-ttl``), and what still is so should still be seen."""
LONGEST = 1024
"""Characters of a message (core/v1, validation of Event)."""
REMEMBERED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """The object that an event is about."""

    kind: str
    name: str
    uid: str
    namespace: str = ""
    """Empty for one that is in none; its events are in ``default`` then."""
    api_version: str = "v1"


class Events:
    """The door to events. What was said of an object is remembered here, and by the name of the event in the API
    server: another process that says the same renews it.
    """

    def __init__(self, api: Api, *, again: float = AGAIN) -> None:
        self._api, self._again = api, again
        self._said: dict[tuple[str, str], tuple[str, float]] = {}

    async def tell(self, about: About, *, reason: str, message: str, warning: bool = True) -> bool:
        """Say it, unless just this was the last that was said for this reason, not long ago; whether it was written.

        ``reason`` is one word in CamelCase. Raises a DriverError when it cannot be written; it may be tried again.
        """
        message = message if len(message) <= LONGEST else message[: LONGEST - 1] + "…"
        key, now = (about.uid, reason), asyncio.get_running_loop().time()
        said = self._said.get(key)
        if said is not None and said[0] == message and now - said[1] < self._again:
            return False
        await self._write(about, reason, message, warning=warning)
        if len(self._said) >= REMEMBERED:
            self._said = {each: when for each, when in self._said.items() if now - when[1] < self._again / 2}
        self._said[key] = (message, now)
        return True

    def forget(self, about: About, *, reason: str) -> None:
        """It is so no longer: should it be so again, that is to be said."""
        self._said.pop((about.uid, reason), None)

    async def _write(self, about: About, reason: str, message: str, *, warning: bool) -> None:
        namespace = about.namespace or "default"
        folder = f"/api/v1/namespaces/{namespace}/events"
        digest = hashlib.sha256(f"{about.uid}\0{reason}\0{message}".encode()).hexdigest()[:16]
        name = f"{about.name[:200]}.{digest}"
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        involved = {"kind": about.kind, "apiVersion": about.api_version, "name": about.name, "uid": about.uid}
        body = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": involved | ({"namespace": about.namespace} if about.namespace else {}),
            "type": "Warning" if warning else "Normal",
            "reason": reason,
            "message": message,
            "firstTimestamp": stamp,
            "lastTimestamp": stamp,
            "count": 1,
            "source": {"component": DRIVER_NAME},
            "reportingComponent": DRIVER_NAME,
            "reportingInstance": socket.gethostname(),
        }
        try:
            await self._api.post(folder, body)
        except Conflict:  # it stands there from before
            await self._api.merge(f"{folder}/{name}", {"lastTimestamp": stamp})
