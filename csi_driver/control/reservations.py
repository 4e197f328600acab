"""What this process has promised and ordered and not yet seen done. All of it may be lost: it only saves work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from csi_driver.errors import NoCapacity, NotFound
from csi_driver.model.ids import VolumeId
from csi_driver.model.volume import Layout, VolumeSpec

LINGER = 30.0
"""Seconds that a promise counts after the order's end, unless the pool's own figures show it before."""
REMEMBERED = 1000


_Place = tuple[str, str, Layout]
"""Node, pool, layout."""


@dataclass(slots=True)
class _Promise:
    node: str
    spec: VolumeSpec
    until: float | None = None
    """End of its time, by the clock; None while the order runs."""

    @property
    def place(self) -> _Place:
        return self.node, self.spec.pool, self.spec.layout


class Reservations:
    """Room promised to creates that run, so that many at once spread instead of all choosing the emptiest pool."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._promises: dict[VolumeId, _Promise] = {}
        self._places: dict[_Place, dict[VolumeId, _Promise]] = {}

    @contextmanager
    def reserve(self, node: str, spec: VolumeSpec) -> Iterator[None]:
        """Within this block, and a while after unless it was refused, the room counts as taken."""
        promise = self._promises[spec.id] = _Promise(node, spec)
        self._places.setdefault(promise.place, {})[spec.id] = promise
        try:
            yield
        except (NoCapacity, NotFound):
            self.forget(spec.id)
            raise
        finally:
            promise.until = self._clock() + LINGER

    def forget(self, volume: VolumeId) -> None:
        """It was seen to be gone: its room is free again, whatever the pool's figures have shown meanwhile."""
        promise = self._promises.pop(volume, None)
        if promise is not None:
            here = self._places[promise.place]
            del here[volume]
            if not here:
                del self._places[promise.place]

    def ordered(self, node: str) -> tuple[VolumeSpec, ...]:
        """What is promised on a node, whether it shows it already or not."""
        return tuple(promise.spec for promise in self._promises.values() if promise.node == node)

    def of(self, node: str, pool: str, layout: Layout, shown: Mapping[VolumeId, object]) -> tuple[int, int]:
        """Bytes and number of what is promised in a pool beyond the volumes that it shows already."""
        now, here = self._clock(), self._places.get((node, pool, layout))
        if not here:
            return 0, 0
        for volume, promise in tuple(here.items()):
            if promise.until is not None and promise.until <= now:
                self.forget(volume)
        sizes = [promise.spec.size for volume, promise in here.items() if volume not in shown]
        return sum(sizes), len(sizes)


class Attempts:
    """Claims whose outcome is not known: a retry joins the very same order instead of making a second volume."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._settled: dict[str, tuple[VolumeId, float]] = {}
        self._open: dict[str, tuple[str, VolumeSpec]] = {}
        self._commits: dict[str, tuple[VolumeId, str]] = {}

    def commit(self, volume: VolumeId, node: str) -> None:
        """The order to commit goes out. Until the node is heard the volume may be there for ever: unknown is not
        absent, and a retry must not make a second one elsewhere.
        """
        self._commits[volume.key] = (volume, node)
        while len(self._commits) > REMEMBERED:
            del self._commits[next(iter(self._commits))]

    def committed(self, key: str) -> dict[VolumeId, str]:
        """The claim of a name that was ordered to be committed, without a word of what became of it; and its node."""
        return dict([self._commits[key]]) if key in self._commits else {}

    def settle(self, volume: VolumeId) -> None:
        """It is the one volume of its name. Whoever asked may be gone by now, and ask again."""
        self.end(volume.key)
        now = self._clock()
        self._settled = {key: told for key, told in self._settled.items() if told[1] > now}
        self._settled[volume.key] = (volume, now + LINGER)

    def told(self, key: str) -> None:
        """Somebody who asked has got the answer: the next one who asks is answered by a look."""
        self._settled.pop(key, None)

    def settled(self, key: str) -> VolumeId | None:
        """What ``settle`` said of a name within the last ``LINGER`` seconds, if nobody has been told of it."""
        volume, until = self._settled.get(key, (None, 0.0))
        return volume if until > self._clock() else None

    def begin(self, node: str, spec: VolumeSpec) -> None:
        """The order goes out."""
        self._open[spec.id.key] = (node, spec)
        while len(self._open) > REMEMBERED:
            del self._open[next(iter(self._open))]

    def end(self, key: str) -> None:
        """Its outcome is known, or does not matter any more."""
        self._open.pop(key, None)
        self._commits.pop(key, None)

    def of(self, key: str) -> tuple[str, VolumeSpec] | None:
        """The node and the order that is open for a name, if any."""
        return self._open.get(key)
