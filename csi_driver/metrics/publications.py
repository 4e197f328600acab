"""What a storage node has to say of its publications."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge


class PublicationMetrics:
    """Gauges that are counted when they are read."""

    def __init__(
        self, registry: CollectorRegistry, *, all_of_them: Callable[[], int], at_risk: Callable[[], int]
    ) -> None:
        Gauge("clinker_publications", "Publications of volumes of this node", registry=registry).set_function(
            all_of_them
        )
        Gauge(
            "clinker_publications_unflushed_writes_may_be_lost",
            "Publications that went on over a crash of this node, as their class says, and may miss unflushed writes",
            registry=registry,
        ).set_function(at_risk)
