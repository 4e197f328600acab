"""Refuses Python files over 400 lines and functions over 40: split them by verb or by meaning."""

import ast
import sys
from collections.abc import Iterator

from tools.checkout import TOP, tracked

FILE_LINES = 400
FUNCTION_LINES = 40
EXCLUDED = ("csi_driver/rpc/gen/", "tests/fuzz/data/")


def main() -> None:
    complaints = [
        complaint
        for name in tracked("*.py")
        if not name.startswith(EXCLUDED)
        for complaint in judge(name, (TOP / name).read_text())
    ]
    if complaints:
        sys.exit("\n".join(complaints))


def judge(name: str, source: str) -> Iterator[str]:
    """One line for each thing that is too long."""
    lines = len(source.splitlines())
    if lines > FILE_LINES:
        yield f"{name}: {lines} lines, {FILE_LINES} are allowed"
    for node in ast.walk(ast.parse(source, name)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name}() has {lines} lines, {FUNCTION_LINES} are allowed"


if __name__ == "__main__":
    main()
