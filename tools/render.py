"""Writes deploy/clinker.yaml, the chart as plain manifests; with --check compares only, and changes nothing.

helm is built from the Go module proxy when it is not cached (two minutes, once). Nothing that is rendered holds a key:
the controller makes its own.
"""

import json
import subprocess
import sys
from pathlib import Path

from tests.cluster import binaries

TOP = Path(__file__).resolve().parent.parent
CHART = TOP / "charts" / "clinker"
TARGET = TOP / "deploy" / "clinker.yaml"
NAMESPACE = "clinker"
VALUES = {
    # kustomize puts the real one in its place, see deploy/kustomization.yaml.
    "image": {"repository": "clinker"},
    "pools": [{"name": "default", "vg": "clinker", "thinPool": "thin"}],
}
HEADER = "# Written by `make generate` from charts/clinker; not edited. See kustomization.yaml beside it.\n"
# What these labels say is not so for plain manifests.
HELM_LINES = ("app.kubernetes.io/managed-by: Helm", "helm.sh/chart: ")


def main() -> None:
    text = render()
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(text)
        return
    if not TARGET.exists() or TARGET.read_text() != text:
        sys.exit(f"{TARGET.relative_to(TOP)} is not up to date, run `make generate`")


def render() -> str:
    """The manifests, as helm renders them with VALUES."""
    helm = str(binaries.program(binaries.HELM))
    command = [helm, "template", "clinker", str(CHART), "--namespace", NAMESPACE, "--no-hooks", "--values", "-"]
    done = subprocess.run(command, input=json.dumps(VALUES), capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"helm does not render the chart: {done.stderr}")
    lines = [line for line in done.stdout.splitlines() if not line.strip().startswith(HELM_LINES)]
    return HEADER + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
