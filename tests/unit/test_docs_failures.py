"""The tests that docs/failures.md names are there."""

import ast
import re
from pathlib import Path

TOP = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([A-Z]\d+)")


def named() -> list[str]:
    return re.findall(r"`([\w/]+\.py::\w+)`", (TOP / "docs" / "failures.md").read_text())


def test_every_test_that_is_named_exists() -> None:
    assert len(named()) > 30
    missing = []
    for each in named():
        path, _, test = each.partition("::")
        file = TOP / "tests" / path
        tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
        found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        if test not in found:
            missing.append(each)
    assert missing == []


def test_each_entry_stands_once() -> None:
    lines = (TOP / "docs" / "failures.md").read_text().splitlines()
    entries = [match[1] for line in lines if (match := ROW.match(line))]
    assert len(entries) == len(set(entries)) > 30
