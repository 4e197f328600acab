from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import Choice
from csi_driver.model.sizes import GIB, MIB
from csi_driver.settings import SchedulerSettings, parse
from csi_driver.wiring.scheduler import scheduler
from tests.unit.scheduler_views import names, request, view

EXAMPLE = Path(__file__).parents[1] / "examples" / "scheduler_plugin"


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example package, installed: its module, and the entry points of its pyproject.toml."""
    shutil.copy(EXAMPLE / "clinker_example.py", tmp_path)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "clinker_example-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (folder / "entry_points.txt").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)


def test_nothing_set_is_the_default() -> None:
    chosen = scheduler(SchedulerSettings())
    assert (chosen.multipliers, chosen.choice, chosen.step) == ({}, Choice.BEST, 128 * MIB)
    assert [each.name for each in chosen.filters] == [
        "source",
        "health",
        "layout",
        "pool",
        "access",
        "topology",
        "capabilities",
        "same",
        "different",
        "attempted",
        "expression",
        "query",
        "size",
        "capacity",
    ]


def test_settings_are_obeyed() -> None:
    table = {"controller": {"scheduler": {"weights": {"capacity": -1}, "choose": "stochastic", "capacity_step": GIB}}}
    chosen = scheduler(parse(table, "x").controller.scheduler)
    assert (chosen.multipliers, chosen.choice, chosen.step) == ({"capacity": -1.0}, Choice.STOCHASTIC, GIB)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (SchedulerSettings(weights={"speed": 1.0}), "controller.scheduler.weights: there is no weigher 'speed'"),
        (SchedulerSettings(weights={"chance": 1e9}), "controller.scheduler.weights: chance: .* is no number from"),
        (SchedulerSettings(choose="any"), "controller.scheduler.choose: 'any' is not one of"),
        (SchedulerSettings(capacity_step=0), "controller.scheduler.capacity_step: 0 is less than"),
        (SchedulerSettings(filters=("rack",)), "controller.scheduler.filters: no package offers 'rack'"),
    ],
)
def test_settings_that_cannot_be(settings: SchedulerSettings, words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        scheduler(settings)


@pytest.mark.usefixtures("example")
def test_a_third_party_adds_a_filter_and_a_weigher() -> None:
    chosen = scheduler(SchedulerSettings(filters=("quiet-hours",), weighers=("rack",), weights={"rack": 5.0}))
    views = [
        view("a", 90 * GIB, tags={"rack": "2"}),
        view("b", 20 * GIB, tags={"rack": "1"}),
        view("c", 10 * GIB),
        view("d", 80 * GIB, tags={"quiet": "yes"}),
    ]
    assert names(request(), *views, scheduler=chosen) == ["b/data", "a/data", "c/data"]
    (refusal,) = chosen.decide(request(), views).refusals
    assert str(refusal) == "d/data: it is kept quiet by its label"


@pytest.mark.usefixtures("example")
def test_what_a_third_party_does_wrong_is_told_at_the_start() -> None:
    with pytest.raises(InvalidRequest, match=r"controller.scheduler.weighers: broken cannot be loaded: AttributeError"):
        scheduler(SchedulerSettings(weighers=("broken",)))
    with pytest.raises(InvalidRequest, match="its name 'rack' is empty or taken"):
        scheduler(SchedulerSettings(weighers=("rack", "rack")))
