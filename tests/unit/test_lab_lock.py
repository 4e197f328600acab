"""The requirements lock, read for the guest's Python."""

from __future__ import annotations

import pytest

from tests.lab import BuildFailed
from tests.lab.lock import applicable, environment, holds

GUEST = environment((3, 13))

LOCK = """\
# made by a tool
aiohttp==3.14.5 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via kubernetes
backport==1 ; python_full_version < '3.13' \\
    --hash=sha256:cc
cffi==2.1.1 ; platform_python_implementation != 'PyPy' and sys_platform == 'linux' \\
    --hash=sha256:dd
plain==1.0
"""


def test_entries_for_other_pythons_go_with_their_hashes() -> None:
    assert applicable(LOCK, GUEST) == (
        "aiohttp==3.14.5 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
        "cffi==2.1.1 \\\n    --hash=sha256:dd\nplain==1.0\n"
    )


@pytest.mark.parametrize(
    ("marker", "true"),
    [
        ("python_version >= '3.9'", True),
        ("python_version < '3.9'", False),
        ("python_full_version == '3.13'", True),
        ("python_full_version >= '3.13.0' and python_full_version < '3.14'", True),
        ("sys_platform == 'win32' or platform_machine == 'x86_64'", True),
        ("(sys_platform == 'win32' or os_name == 'nt') and python_version > '3'", False),
        ("platform_machine not in 'arm64 aarch64'", True),
        ("'linux' in sys_platform", True),
        ("implementation_name != 'PyPy'", True),
    ],
)
def test_markers(marker: str, true: bool) -> None:
    assert holds(marker, GUEST) is true


@pytest.mark.parametrize("marker", ["nonsense == '1'", "python_version", "import os", "a < b < c"])
def test_a_marker_that_is_not_understood_is_an_error(marker: str) -> None:
    with pytest.raises(BuildFailed, match="not understood"):
        holds(marker, GUEST)
