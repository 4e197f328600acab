"""Writes what is made from the code's table of class parameters; with --check compares only, and changes nothing.

charts/clinker/files/parameters.json is what the chart and its admission policy refuse by, and the table in
docs/classes.md what people read.
"""

import json
import sys
from pathlib import Path

from csi_driver.model.access import FsType
from csi_driver.model.parameters import KUBERNETES_PREFIX, TABLE, Parameter

TOP = Path(__file__).resolve().parent.parent
CHART_FILE = TOP / "charts" / "clinker" / "files" / "parameters.json"
PAGE = TOP / "docs" / "classes.md"
BEGIN, END = "<!-- parameters: written by `make generate` -->\n", "<!-- end of parameters -->\n"


def main() -> None:
    for path, text in ((CHART_FILE, chart_file()), (PAGE, page(PAGE.read_text()))):
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.exit(f"{path.relative_to(TOP)} is not up to date, run `make generate`")


def chart_file() -> str:
    """What a class may say, for the chart's templates. ``pattern`` has to match the whole value."""
    filesystem = {"key": f"{KUBERNETES_PREFIX}fstype", "allowed": sorted(FsType), "pattern": ""}
    table = [
        {"key": each.key, "allowed": list(each.allowed), "pattern": each.pattern} for each in TABLE if not each.many
    ]
    beginnings = [KUBERNETES_PREFIX, *(each.key for each in TABLE if each.many)]
    return json.dumps({"parameters": [*table, filesystem], "beginnings": beginnings}, indent=2) + "\n"


def page(text: str) -> str:
    """The page with the table of today between its two marks."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = ["| parameter | values | default | meaning |", "| --- | --- | --- | --- |", *map(_row, TABLE)]
    return before + BEGIN + "\n" + "\n".join(lines) + "\n\n" + END + after


def _row(parameter: Parameter) -> str:
    shown = " ".join(f"`{value}`" for value in parameter.allowed if value)
    values = shown or (f"text like `{parameter.pattern}`" if parameter.pattern else "text")
    key = f"{parameter.key}ATTRIBUTE" if parameter.many else parameter.key
    default = f"`{parameter.default}`" if parameter.default else "empty"
    return f"| `{key}` | {values} | {default} | {parameter.help} |"


if __name__ == "__main__":
    main()
