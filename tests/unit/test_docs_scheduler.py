from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from csi_driver.cli.main import main
from csi_driver.control.hints import of_class
from csi_driver.model.parameters import TABLE, parse
from csi_driver.scheduler.decide import KIND, SIZE, WEIGHERS, Scheduler
from csi_driver.scheduler.expression.attributes import CLASS, GROUPS
from tests.unit.scheduler_views import request, ruled, view

TEXT = (Path(__file__).parents[2] / "docs" / "scheduler.md").read_text()
EXAMPLES = [
    dict(re.findall(r"^  ([\w.-]+): [\"'](.*)[\"']$", block, re.MULTILINE))
    for block in re.findall(r"```yaml\nparameters:\n(.*?)```", TEXT, re.DOTALL)
]


def test_every_example_is_a_class_and_places_a_volume_or_says_why_not() -> None:
    assert len(EXAMPLES) >= 3
    pool = view("n1", zone="a", tags={"tier": "ssd", "rack": "r1"}, thin_size=200 * 2**30, thin_used=0)
    for example in EXAMPLES:
        assert of_class(parse(example, {}))
        decision = Scheduler().decide(
            request(rules=ruled(example), parameters=example), [pool, view("n2", 0, zone="z")]
        )
        assert [each.view.name for each in decision.candidates] == ["n1/data"]
        assert [each.pool for each in decision.refusals] == ["n2/data"]


def test_every_attribute_filter_and_weigher_stands_there() -> None:
    for group, attributes in GROUPS.items():
        for name, attribute in attributes.items():
            assert f"| `{group}.{name}` | {attribute.help} |" in TEXT
    assert f"| `class` | {CLASS.help} |" in TEXT
    for each in (*KIND, *SIZE):
        assert re.search(rf"^\| .*`{each.name}`.* \|", TEXT, re.MULTILINE), each.name
    for weigher in WEIGHERS:
        assert f"| `{weigher.name}` | {weigher.multiplier:g} |" in TEXT


def test_the_simulation_prints_what_the_page_shows(capsys: pytest.CaptureFixture[str]) -> None:
    block = re.search(r"    \$ clinker (simulate.*?\n)\n", TEXT, re.DOTALL)
    assert block is not None
    command, _, shown = block[1].replace("\\\n", " ").partition("\n")
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == re.sub(r"^ {4}", "", shown, flags=re.MULTILINE)


def test_every_parameter_of_placing_is_spoken_of() -> None:
    for parameter in TABLE:
        if parameter.placing:
            assert f"`{parameter.key}" in TEXT, parameter.key
