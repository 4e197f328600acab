"""How the volumes of a fleet are used: where their data lie, or over the network."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge


class UsageMetrics:
    """``clinker_volumes_used`` by ``path``, ``local`` or ``remote``. ``count`` answers (local, remote), from memory and
    in any thread.
    """

    def __init__(self, registry: CollectorRegistry, count: Callable[[], tuple[int, int]]) -> None:
        used = Gauge(
            "clinker_volumes_used",
            "Uses of volumes that are allowed now: on the node that holds the data, or over the network",
            ("path",),
            registry=registry,
        )
        used.labels("local").set_function(lambda: count()[0])
        used.labels("remote").set_function(lambda: count()[1])
