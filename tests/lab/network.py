"""The lab's network: a bridge and a tap for each host, in a network namespace without a name.

The namespace lives as long as the supervisor, so nothing of it can be left behind.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tests.lab import tools
from tests.lab.spec import GATEWAY

BRIDGE = "lab0"


def setup(taps: Sequence[str]) -> str:
    """The batch for ip(8) that makes the network of these taps."""
    lines = [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"address add {GATEWAY}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
    ]
    for tap in taps:
        lines += [
            f"tuntap add dev {tap} mode tap",
            f"link set {tap} master {BRIDGE}",
            f"link set {tap} up",
        ]
    return "\n".join(lines) + "\n"


def make(taps: Sequence[str]) -> None:
    """Make it in the namespace of this process; raises BuildFailed with what ip said."""
    tools.call(["ip", "-batch", "-"], stdin=setup(taps), timeout=20)


def inside(supervisor: int, argv: Sequence[str]) -> list[str]:
    """The command line that runs a program of the machine in the lab's network."""
    return [tools.find("nsenter"), f"--net=/proc/{supervisor}/ns/net", "--", *argv]


def enter(supervisor: int, argv: Sequence[str], *, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run a program of the machine in the lab's network, for at most `timeout` seconds."""
    return subprocess.run(inside(supervisor, argv), capture_output=True, text=True, timeout=timeout, check=False)
