"""The pools of a storage node, as last seen, read at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from csi_driver.model.pool import Pool
from csi_driver.model.volume import Layout

_LABELS = ("pool", "vg")
_FIGURES: tuple[tuple[str, str, Callable[[Pool], float]], ...] = (
    ("thin_size_bytes", "Data of the thin pool", lambda pool: pool.thin_size),
    ("thin_used_bytes", "Data of the thin pool that holds something", lambda pool: pool.thin_used),
    ("thin_promised_bytes", "What the thin pool's volumes may come to hold", lambda pool: pool.thin_allocated),
    ("thin_metadata_size_bytes", "Metadata of the thin pool", lambda pool: pool.metadata_size),
    ("thin_metadata_used_bytes", "Metadata of the thin pool in use", lambda pool: pool.metadata_used),
    ("group_size_bytes", "The volume group", lambda pool: pool.group_size),
    ("group_free_bytes", "The volume group's free extents", lambda pool: pool.group_free),
    ("group_metadata_size_bytes", "The volume group's metadata area", lambda pool: pool.group_metadata_size),
    ("group_metadata_free_bytes", "Room for more metadata of the group", lambda pool: pool.group_metadata_free),
    ("overcommit_ratio", "Bytes that may be promised for each of the thin pool's data", lambda pool: pool.overcommit),
    ("reserve_bytes", "Bytes that are never given out", lambda pool: pool.reserve),
    ("healthy", "1 when volumes can be made there, 0 when something forbids it", lambda pool: not pool.problem),
    ("warnings", "How many things an operator should see to", lambda pool: len(pool.warnings)),
)


class PoolMetrics:
    """``clinker_pool_...`` by pool and volume group. ``pools`` is asked at each scrape, in another thread."""

    def __init__(self, registry: CollectorRegistry, pools: Callable[[], Iterable[Pool]]) -> None:
        self._pools = pools
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry then does not scrape us when we are made."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for at a scrape."""
        pools = tuple(self._pools())
        for name, text, figure in _FIGURES:
            family = GaugeMetricFamily(f"clinker_pool_{name}", text, labels=_LABELS)
            for pool in pools:
                family.add_metric((pool.name, pool.vg), float(figure(pool)))
            yield family
        room = GaugeMetricFamily(
            "clinker_pool_free_bytes",
            "Room for one new volume, by layout that the pool offers",
            labels=(*_LABELS, "layout"),
        )
        for pool in pools:
            for layout in Layout:
                if (free := pool.free(layout)) is not None:
                    room.add_metric((pool.name, pool.vg, layout.value), float(free))
        yield room
