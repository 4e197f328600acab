"""Keeps ``clinker.io/home: NODE`` on each claim: Kubernetes has no soft affinity to a volume, so pods that want to come
back to their data are told where they lie (DESIGN 6).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from csi_driver.errors import DriverError, NotFound
from csi_driver.fleet.fleet import Fleet
from csi_driver.kube.api import Api, Json
from csi_driver.kube.informer import NAMES_ONLY, Informer, Pauses, Source

log = logging.getLogger(__name__)

HOME = "clinker.io/home"
CLAIMS = "/api/v1/persistentvolumeclaims"
PREFIX = "pvc-"
"""What external-provisioner puts before a claim's uid to name its volume (``--volume-name-prefix``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A claim, as far as it matters here."""

    namespace: str
    name: str
    home: str


def read_claim(item: Json) -> Claim:
    """From its metadata alone."""
    metadata = item["metadata"]
    home = str((metadata.get("annotations") or {}).get(HOME, ""))
    return Claim(namespace=str(metadata.get("namespace", "")), name=str(metadata["name"]), home=home)


class Homes:
    """Follows all claims, their metadata alone, and writes where a volume is that has another home, or none."""

    def __init__(self, api: Api, fleet: Fleet, *, period: float, pauses: Pauses | None = None) -> None:
        self._api, self._fleet, self._period = api, fleet, period
        source = Source(path=CLAIMS, accept=NAMES_ONLY)
        self._claims = Informer(
            api,
            source,
            read=read_claim,
            changed=lambda: None,
            pauses=pauses,
            key=lambda item: str(item["metadata"]["uid"]),
        )

    async def run(self) -> None:
        """In the one that holds the lease, never returns."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._claims.run())
            group.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            for claim, node in tuple(self._strays()) if self._claims.synced else ():
                try:
                    await self._write(claim, node)
                except NotFound:
                    continue  # deleted meanwhile
                except DriverError as error:
                    log.warning("home not written", extra={"claim": claim.name, "error": str(error)})
                    break
            await asyncio.sleep(self._period)

    def _strays(self) -> Iterator[tuple[Claim, str]]:
        """Claims whose annotation is not where their volume is."""
        for state in self._fleet.answering():
            for volume in state.ready():
                claim = self._claims.objects.get(volume.name.removeprefix(PREFIX))
                if claim is not None and volume.name.startswith(PREFIX) and claim.home != state.name:
                    yield claim, state.name

    async def _write(self, claim: Claim, node: str) -> None:
        path = f"/api/v1/namespaces/{claim.namespace}/persistentvolumeclaims/{claim.name}"
        await self._api.merge(path, {"metadata": {"annotations": {HOME: node}}})
        log.info("home written", extra={"namespace": claim.namespace, "claim": claim.name, "node": node})
