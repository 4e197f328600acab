"""containerd, runc, the CNI plugins and a static busybox: Debian's packages, unpacked and never installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import cache, debian

SUITE = "unstable"
"""Kubernetes from 1.36 on needs containerd 2, and Debian 13 has 1.7; these run with Debian 13's libc too."""
PACKAGES = ("containerd", "runc", "containernetworking-plugins", "busybox-static")
RECIPE = "1"
"""Changed whenever this file builds something else."""


def runtime() -> Path:
    """The cached folder with their `usr` in it."""

    def build(partial: Path, _final: Path) -> None:
        apt = debian.PrivateApt(partial / "apt", SUITE)
        apt.update()
        for package in PACKAGES:
            version = apt.unpack(package, partial)
            print(f"cluster: {package} {version} from {SUITE}", flush=True)
        shutil.rmtree(partial / "apt")

    return cache.entry("node-runtime", (RECIPE, SUITE, *PACKAGES), build)
