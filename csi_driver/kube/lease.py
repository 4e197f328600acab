"""One of several: a Lease (coordination.k8s.io/v1), held the way client-go's leader election does it.

Whose it is stands in the object; whether the holder lives is judged by our own clock: a lease that nobody has renewed
for its duration, since we first saw it so, may be taken. The holder gives up its work before others may take it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from csi_driver.errors import DriverError, NotFound
from csi_driver.kube.api import Api, Conflict, Json

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTiming:
    """Seconds; ``deadline`` must be shorter than ``duration``, by more than clocks run apart."""

    duration: float = 15.0
    """After which a lease that is not renewed may be taken."""
    deadline: float = 10.0
    """After which a holder that could not renew it stops."""
    retry: float = 3.0
    """Between two tries to take or to renew it."""


class Lease:
    """The lease ``name``; ``identity`` says who we are, unlike all others."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str, timing: LeaseTiming | None = None) -> None:
        self._api, self._identity, self._timing = api, identity, timing or LeaseTiming()
        self._folder = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name, self._namespace = name, namespace
        self._seen: tuple[object, ...] = ()
        self._since = 0.0
        self.held = False

    async def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """For ever: while the lease is ours ``work`` runs; it is cancelled when we lose it, and when we are. An error
        of ``work`` is raised.
        """
        while True:
            if await self._try():
                await self._hold(work)
            await asyncio.sleep(self._timing.retry * random.uniform(0.8, 1.2))  # noqa: S311  # no secret

    async def release(self) -> None:
        """Let others take it at once. Call it when ``run`` has ended."""
        if not self.held:
            return
        self.held = False
        with suppress(DriverError):  # then they wait until it has run out
            lease = await self._api.get(self._path)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._api.put(self._path, {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})

    async def _hold(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        log.info("this process holds the lease", extra={"lease": self._name})
        clock = asyncio.get_running_loop().time
        renewed = clock()
        task = asyncio.create_task(work(), name=f"work of {self._name}")
        try:
            while not (await asyncio.wait({task}, timeout=self._timing.retry))[0]:
                begun = clock()
                answer = await self._try(renewed + self._timing.deadline - begun)
                if answer:
                    renewed = begun
                elif answer is False or clock() - renewed >= self._timing.deadline:
                    log.warning("the lease is lost", extra={"lease": self._name})
                    self.held = False
                    return
            task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _try(self, limit: float | None = None) -> bool | None:
        """Whether the lease is ours now; None when that cannot be told within ``limit`` seconds."""
        try:
            async with asyncio.timeout(limit):
                self.held = await self._take()
                return self.held
        except Conflict:
            return False
        except (DriverError, TimeoutError) as error:
            log.warning("the lease cannot be asked for", extra={"lease": self._name, "error": str(error)})
            return None

    async def _take(self) -> bool:
        try:
            lease = await self._api.get(self._path)
        except NotFound:
            metadata = {"name": self._name, "namespace": self._namespace}
            kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
            await self._api.post(self._folder, {**kind, "metadata": metadata, "spec": self._spec({})})
            return True
        spec = lease.get("spec") or {}
        if self._held_by_other(spec):
            return False
        await self._api.put(self._path, {**lease, "spec": self._spec(spec)})
        return True

    def _held_by_other(self, spec: Json) -> bool:
        holder = spec.get("holderIdentity") or ""
        record = (holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        now = asyncio.get_running_loop().time()
        if record != self._seen:
            self._seen, self._since = record, now
        lasts = float(spec.get("leaseDurationSeconds") or self._timing.duration)
        return holder not in ("", self._identity) and now - self._since < lasts

    def _spec(self, before: Json) -> Json:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # a MicroTime
        ours = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": (before.get("acquireTime") if ours else None) or now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if ours or not before else 1),
        }

    @property
    def _path(self) -> str:
        return f"{self._folder}/{self._name}"
