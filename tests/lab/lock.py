"""The requirements lock as the guest's Python has to read it.

`pip install --python-version` judges environment markers by the Python that runs pip, not by the one
asked for, so the markers are judged here and pip gets lines without any.
"""

from __future__ import annotations

import ast
import re

from tests.lab.errors import BuildFailed

_ENTRY = re.compile(r"^(?P<requirement>[A-Za-z0-9][^;\\#]*?)\s*(?:;\s*(?P<marker>[^\\#]*?))?\s*\\?$")


def environment(version: tuple[int, int]) -> dict[str, str]:
    """The marker variables of CPython `version` in a Debian guest on x86-64."""
    short = f"{version[0]}.{version[1]}"
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{short}.0",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_system": "Linux",
        "python_full_version": f"{short}.0",
        "python_version": short,
        "sys_platform": "linux",
    }


def applicable(text: str, variables: dict[str, str]) -> str:
    """The lock's entries whose markers hold, with their hashes and without the markers."""
    kept: list[str] = []
    keeping = False
    for line in text.splitlines():
        if line[:1].isspace():
            if keeping and line.strip().startswith("--hash="):
                kept.append(line)
            continue
        match = _ENTRY.match(line)
        if match is None:
            keeping = False
            continue
        keeping = holds(match["marker"], variables) if match["marker"] else True
        if keeping:
            kept.append(match["requirement"] + (" \\" if line.endswith("\\") else ""))
    return "\n".join(kept) + "\n"


def holds(marker: str, variables: dict[str, str]) -> bool:
    """Whether an environment marker is true; raises BuildFailed for one that is not understood."""
    try:
        return _truth(ast.parse(marker.strip(), mode="eval").body, variables)
    except (SyntaxError, KeyError, TypeError) as error:
        raise BuildFailed(f"environment marker not understood: {marker!r} ({error})") from error


def _truth(node: ast.expr, variables: dict[str, str]) -> bool:
    """A marker reads like a Python expression of `and`, `or` and comparisons."""
    if isinstance(node, ast.BoolOp):
        every = isinstance(node.op, ast.And)
        parts = (_truth(part, variables) for part in node.values)
        return all(parts) if every else any(parts)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = (_text(side, variables) for side in (node.left, node.comparators[0]))
        return _compare(left, node.ops[0], right)
    raise TypeError(ast.dump(node))


def _text(node: ast.expr, variables: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return variables[node.id]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    raise TypeError(ast.dump(node))


def _compare(left: str, operator: ast.cmpop, right: str) -> bool:
    if isinstance(operator, ast.In):
        return left in right
    if isinstance(operator, ast.NotIn):
        return left not in right
    first, second = _ordered(left), _ordered(right)
    results = {
        ast.Eq: first == second,
        ast.NotEq: first != second,
        ast.Lt: first < second,
        ast.LtE: first <= second,
        ast.Gt: first > second,
        ast.GtE: first >= second,
    }
    return results[type(operator)]


def _ordered(text: str) -> tuple[tuple[int, ...], str]:
    """Versions compare by their numbers (3.9 before 3.13, 3.13 the same as 3.13.0), other texts as texts."""
    if not re.fullmatch(r"\d+(\.\d+)*", text):
        return (), text
    numbers = [int(part) for part in text.split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), ""
