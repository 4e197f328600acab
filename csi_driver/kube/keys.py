"""The controller's own key, where nobody gives it one: made at the first start, renewed by itself, kept in a Secret.

Each key has a CA of its own, which signs that one certificate and whose key is thrown away at once: nothing in the
cluster can make a second controller. Agents trust the CAs in a ConfigMap. A new key comes into use only after its CA
has been there long enough for kubelet to bring it to every node; the old CA goes as long after.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from csi_driver.errors import DriverError, NotFound
from csi_driver.kube.api import Api, Conflict, Json
from csi_driver.kube.informer import Informer, Pauses, Source
from csi_driver.settings import KubernetesSettings

log = logging.getLogger(__name__)

CA, CERTIFICATE, KEY = "ca.crt", "controller.crt", "controller.key"
SINCE = "clinker.io/since"
"""Annotation of the Secret: when it came to be what it is, in RFC 3339."""
_NEXT, _LAST = "next-", "last-ca.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTiming:
    """Seconds."""

    life: float = 240 * 86400.0
    """After which a key is renewed: certificates are good for a year."""
    overlap: float = 3600.0
    """That two CAs are trusted before the new key is used, and after: kubelet takes some minutes, a node that is down
    makes itself known by then or reads both when it comes."""
    look: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate, its key, and the one CA that vouches for it; PEM."""

    ca: bytes
    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair(...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What the Secret holds."""

    pair: Pair
    coming: Pair | None = None
    """Comes into use when its CA has been trusted long enough."""
    last_ca: bytes = b""
    """Of the pair before, trusted a while longer."""
    since: datetime

    @property
    def bundle(self) -> bytes:
        """The CAs that agents are to trust."""
        return self.pair.ca + (self.coming.ca if self.coming else b"") + self.last_ca


def due(keys: Keys, now: datetime, timing: KeyTiming) -> bool:
    """Whether there is something to change."""
    age = (now - keys.since).total_seconds()
    return age >= (timing.overlap if keys.coming or keys.last_ca else timing.life)


def changed(keys: Keys, fresh: Pair | None, now: datetime) -> Keys:
    """The next of three steps: a new pair is there (``fresh``), it is in use, the CA of the old one is gone."""
    if keys.coming is not None:
        return Keys(pair=keys.coming, last_ca=keys.pair.ca, since=now)
    if keys.last_ca:
        return Keys(pair=keys.pair, since=now)
    return replace(keys, coming=fresh, since=now)


def to_secret(keys: Keys, name: str) -> dict[str, object]:
    """The object."""
    data = _spell(keys.pair, "") | (_spell(keys.coming, _NEXT) if keys.coming else {})
    if keys.last_ca:
        data[_LAST] = keys.last_ca
    stamp = keys.since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "annotations": {SINCE: stamp}},
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }


def from_secret(item: Json) -> Keys | None:
    """None when it holds no pair of ours, which is nothing to be overwritten."""
    try:
        data = {key: base64.b64decode(value) for key, value in (item.get("data") or {}).items()}
        stamp = datetime.fromisoformat(item["metadata"]["annotations"][SINCE])
        coming = _read(data, _NEXT) if _NEXT + CA in data else None
        return Keys(pair=_read(data, ""), coming=coming, last_ca=data.get(_LAST, b""), since=stamp)
    except (KeyError, TypeError, ValueError):
        log.exception("the controller's Secret is not as we write it", extra={"secret": item["metadata"]["name"]})
        return None


def _spell(pair: Pair, before: str) -> dict[str, bytes]:
    return {before + CA: pair.ca, before + CERTIFICATE: pair.certificate, before + KEY: pair.key}


def _read(data: Mapping[str, bytes], before: str) -> Pair:
    return Pair(ca=data[before + CA], certificate=data[before + CERTIFICATE], key=data[before + KEY])


class Keeper:
    """Sees to the Secret and the ConfigMap. ``make`` makes a pair, ``use`` gets what this process is to use."""

    def __init__(
        self,
        api: Api,
        settings: KubernetesSettings,
        *,
        make: Callable[[], Awaitable[Pair]],
        use: Callable[[Keys], None],
        timing: KeyTiming | None = None,
        pauses: Pauses | None = None,
    ) -> None:
        self._api, self._make, self._use, self._timing = api, make, use, timing or KeyTiming()
        self._name, self._map = settings.secret, settings.ca_map
        self._secrets = f"/api/v1/namespaces/{settings.namespace}/secrets"
        self._maps = f"/api/v1/namespaces/{settings.namespace}/configmaps"
        self._pauses = pauses or Pauses()
        source = Source(path=self._secrets, name=self._name)
        self._stored = Informer(api, source, read=lambda item: item, changed=self._look, pauses=pauses)
        self._keys: Keys | None = None

    async def run(self) -> None:
        """In every controller, never returns: follow the Secret, and make it where there is none."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._stored.run())
            group.create_task(self._make_first())

    async def renew(self) -> None:
        """In the one that holds the lease, never returns: a new key in time, and the ConfigMap as it has to be."""
        while True:
            try:
                await self._renew()
            except DriverError as error:
                log.warning("keys not seen to", extra={"error": str(error)})
            await asyncio.sleep(self._timing.look)

    def _look(self) -> None:
        item = self._stored.objects.get(self._name)
        keys = from_secret(item) if item is not None else None
        if keys is not None and keys != self._keys:
            self._keys = keys
            self._use(keys)

    async def _make_first(self) -> None:
        """Of several that do this at once one makes the Secret, and all use that one."""
        pause = self._pauses.first
        while True:
            try:
                if self._stored.synced and self._name not in self._stored.objects:
                    first = Keys(pair=await self._make(), since=datetime.now(UTC))
                    # Before anyone can use the key: an agent that does not trust its CA yet is told in a moment.
                    await self._api.post(self._secrets, to_secret(first, self._name))
                    log.info("the controller has a key now", extra={"secret": self._name})
                if self._keys is not None:
                    await self._trust(self._keys)
                    return
            except Conflict:
                log.info("another controller was faster", extra={"secret": self._name})
            except DriverError as error:
                log.warning("the controller's key cannot be made", extra={"error": str(error)})
            await asyncio.sleep(pause)
            pause = min(pause * 2, self._pauses.longest)

    async def _renew(self) -> None:
        item, keys = self._stored.objects.get(self._name), self._keys
        if item is None or keys is None:
            return
        now = datetime.now(UTC)
        if due(keys, now, self._timing):
            fresh = None if keys.coming or keys.last_ca else await self._make()
            body = to_secret(changed(keys, fresh, now), self._name)
            version = {"resourceVersion": item["metadata"]["resourceVersion"]}
            written = await self._api.put(
                f"{self._secrets}/{self._name}",
                {**body, "metadata": {**body["metadata"], **version}},  # type: ignore[dict-item]
            )
            log.info("the controller's keys have changed", extra={"secret": self._name})
            keys = from_secret(written) or keys
        await self._trust(keys)

    async def _trust(self, keys: Keys) -> None:
        """Agents are to trust these CAs and no others."""
        data = {CA: keys.bundle.decode()}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": self._map}, "data": data}
        try:
            there = await self._api.get(f"{self._maps}/{self._map}")
        except NotFound:
            await self._api.post(self._maps, body)
            return
        if there.get("data") != data:
            await self._api.put(f"{self._maps}/{self._map}", {**there, "data": data})
