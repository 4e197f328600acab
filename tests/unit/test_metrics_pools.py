"""What a scrape of a storage node says of its pools and of its verbs."""

from prometheus_client import CollectorRegistry, generate_latest

from csi_driver.metrics.jobs import JobMetrics
from csi_driver.metrics.pools import PoolMetrics
from csi_driver.model.pool import Pool
from csi_driver.model.sizes import GIB, MIB

POOL = Pool(
    node="n1",
    name="fast",
    vg="vg0",
    extent=4 * MIB,
    thin_free=3 * GIB,
    thick_free=None,
    thin_size=10 * GIB,
    thin_used=GIB,
    thin_allocated=7 * GIB,
    metadata_size=16 * MIB,
    metadata_used=MIB,
    problem="the data is full",
    warnings=("a disk is missing",),
)


def test_pools_are_read_at_the_scrape() -> None:
    registry, pools = CollectorRegistry(), [POOL]
    PoolMetrics(registry, lambda: pools)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"clinker_pool_{name}", {"pool": "fast", "vg": "vg0"} | labels)

    assert value("thin_size_bytes") == 10 * GIB
    assert value("thin_used_bytes") == GIB
    assert value("thin_promised_bytes") == 7 * GIB
    assert value("thin_metadata_used_bytes") == MIB
    assert (value("healthy"), value("warnings")) == (0, 1)
    assert value("free_bytes", layout="thin") == 3 * GIB
    assert value("free_bytes", layout="thick") is None
    pools.clear()
    assert value("thin_size_bytes") is None


def test_jobs_by_verb_and_outcome() -> None:
    registry = CollectorRegistry()
    ended = JobMetrics(registry).ended
    ended("claim", outcome="ok", seconds=0.2)
    ended("claim", outcome="no-capacity", seconds=0.1)
    text = generate_latest(registry).decode()
    assert 'clinker_agent_job_seconds_count{outcome="ok",verb="claim"} 1.0' in text
    assert 'clinker_agent_job_seconds_count{outcome="no-capacity",verb="claim"} 1.0' in text
