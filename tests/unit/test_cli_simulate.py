from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from csi_driver.cli.main import main

TIGHT = ("--requests", "300", "--sizes", "10Gi,50Gi", "--pool-size", "1Ti")


def outcomes(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["simulate", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_defaults_keep_volumes_with_their_pods_and_fill_pools_evenly(capsys: pytest.CaptureFixture[str]) -> None:
    """By access of the class: what is pinned here may only change on purpose."""
    found = outcomes(
        capsys,
        "--requests",
        "400",
        "--policy",
        "default:",
        "--policy",
        "network:access=network",
        "--policy",
        "pack:access=network;weights=capacity=-1",
    )
    assert found["default"]["locality"] == 1.0
    assert found["default"]["refused"] == found["network"]["refused"] == 0
    assert found["network"]["imbalance"] < 0.03
    assert 0.1 < found["default"]["imbalance"] < 0.3
    assert found["network"]["locality"] < 0.3
    assert found["pack"]["most_fill"] > 0.99
    assert found["pack"]["least_fill"] < found["network"]["least_fill"]


def test_a_full_fleet_refuses_by_capacity_and_the_rest_goes_to_other_nodes_unless_local(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = outcomes(capsys, *TIGHT, "--policy", "default:", "--policy", "local:access=local")
    assert found["default"]["mean_fill"] >= found["local"]["mean_fill"] > 0.9
    assert found["local"]["locality"] == 1.0 > found["default"]["locality"] > 0.8
    assert set(found["default"]["refusals"]) == {"capacity"}
    assert set(found["local"]["refusals"]) == {"topology", "capacity"}
    assert found["default"]["most_fill"] <= 1.0


def test_a_lost_node_gets_nothing_more_and_the_same_seed_is_the_same_outcome(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lost = outcomes(capsys, "--lose", "n002@100")
    assert lost == outcomes(capsys, "--lose", "n002@100")
    assert lost != outcomes(capsys, "--lose", "n002@100", "--seed", "2")
    assert lost["default"]["locality"] < 1.0
    assert lost["default"]["refused"] == 0


def test_a_recorded_fleet_and_a_table_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pools = [
        {"node": "a", "size": "100Gi", "zone": "x", "labels": {"tier": "ssd"}},
        {"node": "b", "pool": "slow", "size": "200Gi"},
    ]
    fleet = tmp_path / "fleet.json"
    fleet.write_text(json.dumps(pools))
    arguments = [
        "--fleet",
        str(fleet),
        "--requests",
        "20",
        "--sizes",
        "10Gi",
        "--policy",
        "ssd:require.labels.tier=ssd",
    ]
    assert main(["simulate", *arguments]) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["policy", "placed", "refused", "local"]
    assert row.split()[:3] == ["ssd", "10", "10"]
    assert row.endswith("capabilities 10, capacity 10")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--requests", "0"], "--requests 0 is not from 1"),
        (["--nodes", "0"], "--nodes is from 1"),
        (["--sizes", "big"], "'big' is no size"),
        (["--lose", "x@1"], "--lose x@1: it is NODE@N"),
        (["--policy", "fast"], "--policy fast: it is NAME:KEY=VALUE"),
        (["--policy", "fast:tier=ssd"], "unknown parameter 'tier'"),
        (["--policy", "fast:weights=speed=1"], "parameter weights: there is no weigher 'speed'"),
        (["--fleet", "/nowhere"], "/nowhere: FileNotFoundError"),
    ],
)
def test_what_makes_no_sense_is_one_sentence(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", *arguments]) == 1
    assert words in capsys.readouterr().err
