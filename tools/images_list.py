"""Prints the images that an installation pulls, one a line, for sites that mirror them by hand.

Arguments go to `helm template`, as in: make images-list ARGS="--values values.yaml". Without any the chart's own
values are taken, with as much beside them as it insists on.
"""

import re
import subprocess
import sys

from tests.cluster import binaries
from tools.render import CHART, NAMESPACE

# What the chart insists on; only the first of it chooses an image.
LEAST = {
    "image.repository": "localhost/clinker",
    "pools[0].name": "any",
    "pools[0].vg": "any",
    "tls.existingSecret": "any",
    "tls.caConfigMap": "any",
}


def main() -> None:
    print("\n".join(images(sys.argv[1:])))


def images(arguments: list[str]) -> list[str]:
    """Sorted, each once."""
    chosen = arguments or [f"--set-string={key}={value}" for key, value in LEAST.items()]
    command = [str(binaries.program(binaries.HELM)), "template", "clinker", str(CHART), "--namespace", NAMESPACE]
    done = subprocess.run([*command, *chosen], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"helm does not render the chart: {done.stderr}")
    return sorted(set(re.findall(r"^\s*(?:- )?image: \"?([^\s\"]+)", done.stdout, re.MULTILINE)))


if __name__ == "__main__":
    main()
