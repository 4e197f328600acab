"""How long the agent's verbs take, and how they end."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Histogram

_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800)


class JobMetrics:
    """``clinker_agent_job_seconds`` by verb and outcome: ``ok`` or the kind of the error (``errors.Kind``).

    A job outlives the call that started it, so this is not what a caller waited (``clinker_rpc_seconds`` is).
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "clinker_agent_job_seconds",
            "Time from the start of a verb's job to its end",
            ("verb", "outcome"),
            buckets=_SECONDS,
            registry=registry,
        )

    def ended(self, verb: str, *, outcome: str, seconds: float) -> None:
        """Count one job."""
        self._seconds.labels(verb, outcome).observe(seconds)
