"""What a pool says of itself: room, policy, health."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from csi_driver.agent import tags
from csi_driver.agent.pools import describe, figures
from csi_driver.errors import InvalidRequest
from csi_driver.host.doors import LogicalVolume, PhysicalVolume, VolumeGroup
from csi_driver.model.pool import WhenFull
from csi_driver.model.sizes import GIB, MIB
from csi_driver.model.volume import Layout
from csi_driver.settings import PoolSettings

SETTINGS = PoolSettings(name="fast", vg="vg0", thin_pool="thin0")
THIN = LogicalVolume(
    vg="vg0",
    name="thin0",
    uuid="u",
    size=10 * GIB,
    tags=frozenset(),
    layout="thin-pool",
    metadata_size=16 * MIB,
    zeroing=True,
    data_layout="striped",
    when_full="queue",
)


def volume(name: str, size: int, **more: Any) -> LogicalVolume:
    given = {"pool": "thin0", "layout": "thin"} | more
    return LogicalVolume(vg="vg0", name=name, uuid=name, size=size, tags=frozenset(), **given)


def group(*volumes: LogicalVolume, thin: LogicalVolume = THIN, **more: Any) -> VolumeGroup:
    return dataclasses.replace(
        VolumeGroup(
            name="vg0",
            uuid="g",
            size=20 * GIB,
            free=8 * GIB,
            extent=4 * MIB,
            metadata_size=64 * MIB,
            metadata_free=31 * MIB,
            missing=0,
            volumes=(thin, *volumes),
            disks=(PhysicalVolume("/dev/sda", 20 * GIB, 8 * GIB),),
        ),
        **more,
    )


def test_facts_of_the_pool_are_reported_as_they_are() -> None:
    pool = describe(SETTINGS, group(volume("vol-a", GIB)), "n1")
    assert (pool.thin_size, pool.thin_allocated, pool.thin_free, pool.thick_free) == (10 * GIB, GIB, 9 * GIB, 8 * GIB)
    assert (pool.thin_layout, pool.when_full) == ("striped", WhenFull.QUEUE)
    assert (pool.group_size, pool.group_free) == (20 * GIB, 8 * GIB)
    assert (pool.group_metadata_size, pool.group_metadata_free) == (64 * MIB, 31 * MIB)
    assert (pool.problem, pool.warnings) == ("", ())
    assert "8 GiB of 20 GiB free" in figures(pool)
    assert "1 GiB promised at overcommit 1" in figures(pool)


def test_by_default_a_snapshot_counts_with_its_full_size() -> None:
    content = group(volume("vol-a", GIB), volume("snap-a", GIB))
    assert describe(SETTINGS, content, "n1").thin_allocated == 2 * GIB
    half = dataclasses.replace(SETTINGS, snapshot_share=0.5)
    assert describe(half, content, "n1").thin_allocated == GIB + GIB // 2
    none = dataclasses.replace(SETTINGS, snapshot_share=0.0)
    assert describe(none, content, "n1").thin_allocated == GIB


def test_overcommit_and_reserve_bound_what_is_promised() -> None:
    settings = dataclasses.replace(SETTINGS, overcommit=3.0, reserve=2 * GIB)
    pool = describe(settings, group(volume("vol-a", GIB)), "n1")
    assert (pool.thin_free, pool.thick_free) == (27 * GIB, 6 * GIB)
    assert (pool.overcommit, pool.reserve) == (3.0, 2 * GIB)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"missing": 1}, "1 of the disks of volume group vg0 are missing"),
        ({"metadata_free": 6 * MIB}, "the metadata area of volume group vg0 has only 6 MiB left"),
        ({"thin": dataclasses.replace(THIN, data_percent=95.0)}, "the data of thin pool thin0 is 95.0 % full"),
        ({"thin": dataclasses.replace(THIN, metadata_percent=80.0)}, "the metadata of thin pool thin0 is 80.0 % full"),
        ({"thin": dataclasses.replace(THIN, health="failed")}, "the kernel cannot use it any more"),
        ({"thin": dataclasses.replace(THIN, health="metadata_read_only")}, "its metadata is read-only"),
    ],
)
def test_creates_stop_with_a_reason(changed: dict[str, Any], words: str) -> None:
    assert words in describe(SETTINGS, group(**changed), "n1").problem


def test_creates_go_on_until_a_fifth_of_the_metadata_area_is_left() -> None:
    """LVM counts half of the area as room (mechanisms.md 7): 31 MiB free is an empty one of 64 MiB."""
    assert describe(SETTINGS, group(metadata_free=7 * MIB), "n1").problem == ""
    assert describe(SETTINGS, group(metadata_free=6 * MIB), "n1").problem != ""


def test_a_lost_leg_and_a_pool_that_does_not_zero_are_warnings() -> None:
    content = group(
        volume("vol-a", GIB, pool="", layout="raid1", health="partial", sync_percent=100.0),
        thin=dataclasses.replace(THIN, zeroing=False),
    )
    pool = describe(SETTINGS, content, "n1")
    assert pool.problem == ""
    assert pool.warnings == (
        "vol-a (raid1): a disk is missing",
        "thin pool thin0 does not zero its chunks: an earlier tenant's data may show",
    )


def disks(*free: int) -> dict[str, Any]:
    return {
        "free": sum(free) * GIB,
        "disks": tuple(PhysicalVolume(f"/dev/sd{n}", 20 * GIB, each * GIB) for n, each in enumerate(free)),
    }


def test_room_of_each_layout_over_several_disks() -> None:
    """A leg of a raid takes an extent more, for its metadata."""
    pool = describe(SETTINGS, group(**disks(6, 5, 4, 3)), "n1")
    assert pool.free(Layout.THICK) == 18 * GIB
    assert pool.free(Layout.STRIPED) == 2 * 5 * GIB
    assert pool.free(Layout.RAID1) == 5 * GIB - 4 * MIB
    assert pool.free(Layout.RAID10) == 2 * (3 * GIB - 4 * MIB)
    assert (pool.unit(Layout.STRIPED), pool.unit(Layout.RAID10)) == (8 * MIB, 8 * MIB)
    assert (pool.unit(Layout.RAID1), pool.unit(Layout.THIN)) == (4 * MIB, 4 * MIB)


def test_a_layout_needs_as_many_disks_as_it_has_legs() -> None:
    pool = describe(SETTINGS, group(**disks(6, 5, 4)), "n1")
    assert pool.free(Layout.RAID10) is None
    pool = describe(SETTINGS, group(), "n1")
    assert (pool.free(Layout.STRIPED), pool.free(Layout.RAID1)) == (None, None)
    lost = tuple(PhysicalVolume("[unknown]", 20 * GIB, GIB, missing=n > 0) for n in range(2))
    assert describe(SETTINGS, group(disks=lost), "n1").free(Layout.RAID1) is None


def test_the_reserve_is_kept_from_all_legs_together() -> None:
    settings = dataclasses.replace(SETTINGS, reserve=8 * GIB, stripes=4)
    pool = describe(settings, group(**disks(4, 4, 4, 4)), "n1")
    assert pool.free(Layout.RAID1) == 4 * GIB - 4 * MIB
    assert pool.free(Layout.STRIPED) == 8 * GIB


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"health": "partial"}, "a disk of this raid1 volume is missing"),
        ({"health": "mismatches exist"}, "raid1: mismatches exist"),
        ({"sync_percent": 41.6}, "raid1: 42 % of it is on all its disks"),
        ({"sync_percent": 100.0}, ""),
    ],
)
def test_a_volume_tells_its_condition(changed: dict[str, Any], words: str) -> None:
    assert tags.condition(volume("vol-a", GIB, pool="", layout="raid1", **changed)) == words


@pytest.mark.parametrize(
    "wrong",
    [
        {"overcommit": 0.0},
        {"overcommit": float("nan")},
        {"overcommit": 1001.0},
        {"reserve": -1},
        {"stripes": 1},
        {"snapshot_share": 1.1},
        {"snapshot_share": -0.1},
    ],
)
def test_figures_that_cannot_be_are_refused_by_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"pool 'fast': {next(iter(wrong))}"):
        PoolSettings(name="fast", vg="vg0", **wrong)
