"""csi-sanity against ``clinker standalone`` on a lab host with real disks: mount and block, nothing skipped of what
the driver advertises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.gotools.sanity import build_csi_sanity
from tests.lab import GIB, Host, HostSpec, Lab
from tests.stack.leftovers import leftovers
from tests.stack.standalone import SOCKET, start_standalone


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab([HostSpec("host1", (16 * GIB,))]) as lab:
        one = lab.host("host1")
        start_standalone(one)
        one.put("/tmp/csi-sanity", build_csi_sanity().read_bytes(), mode=0o755)
        yield one


@pytest.mark.parametrize("access", ["mount", "block"])
def test_csi_sanity_is_green(host: Host, access: str) -> None:
    done = host.run(
        [
            "/tmp/csi-sanity",
            f"--csi.endpoint=unix://{SOCKET}",
            f"--csi.mountdir=/tmp/sanity-{access}-mount",
            f"--csi.stagingdir=/tmp/sanity-{access}-staging",
            "--csi.testvolumesize=1073741824",
            "--csi.testvolumeexpandsize=2147483648",
            f"--csi.testvolumeaccesstype={access}",
            "--ginkgo.no-color",
            "--ginkgo.v",
        ],
        timeout=900,
        check=False,
    )
    summary = re.search(r"(\d+) Passed \| (\d+) Failed \| (\d+) Pending \| (\d+) Skipped", done.stdout)
    assert done.rc == 0, done.stdout[-12000:]
    assert summary is not None
    print(f"csi-sanity, {access}: {summary[0]}")
    assert int(summary[1]) > 40
    # csi-sanity skips what the driver does not advertise; anything else that is skipped is a defect.
    for reason in re.findall(r"\[SKIPPED\] (.+)", done.stdout):
        assert "not supported" in reason or "not implemented" in reason, reason
    assert leftovers(host) == []
