"""The root file system of a test host: a minimal Debian 13 with the storage tools in it."""

from __future__ import annotations

from pathlib import Path

from tests.lab import cache, debian, tools

SUITE = "trixie"
PYTHON = (3, 13)
"""The Python that the suite has."""

PACKAGES = (
    "btrfs-progs",
    "ca-certificates",
    "cryptsetup-bin",
    "dmsetup",
    "e2fsprogs",
    "fio",
    "iproute2",
    "iputils-ping",
    "kmod",
    "lsof",
    "lvm2",
    "mdadm",
    "multipath-tools",
    "netbase",
    "open-iscsi",
    "procps",
    "psmisc",
    "python3",
    "python3-rtslib-fb",  # the bench compares raw configfs with it
    "sg3-utils",
    "socat",
    "strace",
    "thin-provisioning-tools",
    "udev",
    "util-linux",
    "xfsprogs",
)

RECIPE = "1"
"""Changed whenever this file builds something else."""


def rootfs(extra_packages: tuple[str, ...]) -> Path:
    """The cached tree, built when missing; raises BuildFailed with mmdebstrap's words."""
    packages = tuple(sorted({*PACKAGES, *extra_packages}))

    def build(partial: Path, _final: Path) -> None:
        tools.call(_mmdebstrap(packages, partial / "root"), timeout=600)

    return cache.entry("rootfs", (RECIPE, SUITE, *packages), build) / "root"


def _mmdebstrap(packages: tuple[str, ...], target: Path) -> list[str]:
    """Docs and translations stay out: they are most of the files and no host reads them."""
    left_out = [f"--dpkgopt=path-exclude=/usr/share/{path}/*" for path in ("doc", "man", "locale", "info")]
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--aptopt=Acquire::Languages none",
        "--aptopt=Acquire::Retries 3",
        *left_out,
        f"--include={','.join(packages)}",
        SUITE,
        str(target),
        debian.source_line(SUITE),
    ]
