"""csi-sanity, the conformance suite of the CSI community, as tests/sanity/go.mod pins it."""

import sys
from pathlib import Path

from tests.gotools.build import build, pinned_version

MODULE = Path(__file__).resolve().parent.parent / "sanity"
CSI_TEST = "github.com/kubernetes-csi/csi-test/v5"


def build_csi_sanity() -> Path:
    """A static csi-sanity that runs on any Linux of this machine's architecture."""
    version = pinned_version(MODULE, CSI_TEST)
    stamp = f"-X main.VERSION={version}"
    return build(MODULE, f"{CSI_TEST}/cmd/csi-sanity", "csi-sanity", ldflags=stamp)


if __name__ == "__main__":
    sys.stdout.write(f"{build_csi_sanity()}\n")
