"""The simulated doors carry the same marks as the real ones: a fault plan means the same thing on both."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import csi_driver

PACKAGE = Path(csi_driver.__file__).parent
REAL, SIMULATED = ("host", "kit"), ("testing",)


def marks(*folders: str) -> Iterator[tuple[str, str]]:
    """(mark, name of the method) of each marked method."""
    for folder in folders:
        for path in (PACKAGE / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.AsyncFunctionDef):
                    yield from ((mark, node.name) for mark in map(_mark, node.decorator_list) if mark)


def _mark(decorator: ast.expr) -> str:
    match decorator:
        case ast.Call(func=ast.Name(id="effect"), args=[ast.Constant(value=str(name))]):
            return name
    return ""


def test_marks_are_the_same() -> None:
    real = sorted(marks(*REAL))
    assert len(real) > 25
    assert sorted(marks(*SIMULATED)) == real
