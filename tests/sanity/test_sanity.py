"""csi-sanity against ``clinker standalone`` on a lab host with real disks: mount and block, nothing skipped of what
the driver advertises.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.gotools.sanity import build_csi_sanity
from tests.lab import GIB, Host, HostSpec, Lab
from tests.stack.leftovers import leftovers
from tests.stack.standalone import SOCKET, start_standalone

REPORT = "/tmp/sanity.json"
NOT_OFFERED = re.compile(r"not supported|not implemented|doesn.t support|does not support", re.IGNORECASE)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with Lab([HostSpec("host1", (16 * GIB,))]) as lab:
        one = lab.host("host1")
        start_standalone(one, max_volumes=4)
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
            "--csi.testnodevolumeattachlimit",
            "--ginkgo.no-color",
            "--ginkgo.v",
            f"--ginkgo.json-report={REPORT}",
        ],
        timeout=900,
        check=False,
    )
    assert done.rc == 0, _failures(done.stdout)
    specs = json.loads(host.get(REPORT))[0]["SpecReports"]
    passed = [spec for spec in specs if spec["State"] == "passed" and spec["LeafNodeType"] == "It"]
    print(f"csi-sanity, {access}: {len(passed)} passed")
    assert len(passed) > 50
    # csi-sanity skips what the driver does not advertise; anything else that is skipped is a defect.
    skipped = {spec["LeafNodeText"]: spec["Failure"]["Message"] for spec in specs if spec["State"] == "skipped"}
    assert [text for text, why in skipped.items() if not NOT_OFFERED.search(why)] == []
    assert leftovers(host) == []


def _failures(output: str) -> str:
    """What went wrong, without the steps that went well."""
    lines = [line for line in output.splitlines() if re.search(r"\[FAILED\]|\[FAIL\]|rpc error|code = |Expected", line)]
    return "\n".join(lines[:200]) + "\n" + output[-1500:]
