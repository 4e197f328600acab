"""The figures as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tests.bench.figures import Measured

HEAD = ("key", "value", "aim", "holds", "unit", "n")


def table(results: Sequence[Measured]) -> str:
    """A line for each figure, its notes below it."""
    rows = [HEAD, *(_row(one) for one in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = []
    for number, row in enumerate(rows):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number > 0:
            one = results[number - 1]
            lines += [f"    {text}" for text in (one.figure.about, *one.notes)]
    return "\n".join(lines)


def as_json(results: Sequence[Measured]) -> dict[str, dict[str, float | int | str | bool]]:
    """``{KEY: {value, aim, unit, ok, n}}``."""
    return {
        one.figure.key: {
            "value": round(one.value, one.figure.digits),
            "aim": one.figure.aim,
            "unit": one.figure.unit,
            "ok": one.holds,
            "n": one.n,
        }
        for one in results
    }


def write(results: Sequence[Measured], path: Path) -> None:
    """``as_json`` in a file, in place of what an earlier run left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(as_json(results), indent=2) + "\n")


def _row(one: Measured) -> tuple[str, ...]:
    figure = one.figure
    return (
        figure.key,
        f"{one.value:.{figure.digits}f}",
        f"<= {figure.aim:g}",
        "yes" if one.holds else "NO",
        figure.unit,
        str(one.n),
    )
