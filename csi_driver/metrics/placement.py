"""Which filters refuse pools."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter


class PlacementMetrics:
    """``clinker_placement_refusals_total`` by filter: pools that were refused when a volume was to be placed."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refusals = Counter(
            "clinker_placement_refusals_total",
            "Pools that a filter refused when a volume was to be placed",
            ("filter",),
            registry=registry,
        )

    def refused(self, filters: Iterable[str]) -> None:
        """Count one refusal for each name, as often as it stands there."""
        for name, count in Count(filters).items():
            self._refusals.labels(name).inc(count)
