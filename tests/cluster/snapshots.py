"""The snapshot CRDs and the snapshot controller, which belong to a cluster and not to a driver."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.places import Places
from tests.gotools.build import minimum_go, pinned_version
from tests.gotools.toolchain import go_binary
from tests.lab import cache

CLIENT = "github.com/kubernetes-csi/external-snapshotter/client/v8"
SIDECARS = binaries.MODULES / "sidecars"
GROUP_GATE = "--feature-gates=CSIVolumeGroupSnapshot=true"
"""Group snapshots, off in the snapshot controller and in csi-snapshotter unless asked for."""


def crds() -> Path:
    """The cached folder of the CRDs, with a kustomization, from the Go module that has them."""
    version = pinned_version(SIDECARS, CLIENT)

    def build(partial: Path, _final: Path) -> None:
        done = subprocess.run(
            [go_binary(minimum_go(SIDECARS)), "mod", "download", "-json", f"{CLIENT}@{version}"],
            cwd=SIDECARS,
            env={**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off"},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        )
        module = Path(json.loads(done.stdout)["Dir"])
        shutil.copytree(module / "config" / "crd", partial / "crd", copy_function=shutil.copyfile)

    return cache.entry("snapshot-crds", (CLIENT, version), build) / "crd"


def controller(places: Places) -> list[str]:
    """The snapshot controller's command line; the CRDs must be there before it starts."""
    program = str(binaries.program(binaries.SNAPSHOT_CONTROLLER))
    return [program, f"--kubeconfig={places.admin}", "--leader-election=false", "--http-endpoint=", GROUP_GATE]
