"""The published CSI interface, as the Go module that tests/csi_spec/go.mod pins describes it."""

import subprocess
from pathlib import Path

from tests.gotools.build import build

MODULE = Path(__file__).resolve().parent.parent / "csi_spec"


def published_csi() -> bytes:
    """A serialized FileDescriptorProto."""
    program = build(MODULE, ".", "csi_spec")
    return subprocess.run([program], capture_output=True, check=True).stdout
