"""How often each RPC was answered, how, and how long it took."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

_SECONDS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)


class RpcMetrics:
    """``clinker_rpc_seconds`` by service, method and gRPC code; its ``_count`` counts the answers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "clinker_rpc_seconds",
            "Time from the arrival of an RPC to its answer",
            ("service", "method", "code"),
            buckets=_SECONDS,
            registry=registry,
        )

    def answered(self, service: str, method: str, *, code: str, seconds: float) -> None:
        """Count one answer. ``code`` is the name of a gRPC code."""
        self._seconds.labels(service, method, code).observe(seconds)
