"""The CSI sidecars as processes beside the API server: a driver's first claim before it has an image and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import Service
from tests.cluster.snapshots import GROUP_GATE
from tests.lab.image import PACKAGES
from tests.lab.waiting import eventually

REGISTRAR = Path(__file__).parent / "registrar.py"
REGISTRATIONS = "/var/lib/kubelet/plugins_registry"
"""Where kubelet looks for plugins."""

ARGUMENTS: dict[str, Sequence[str]] = {
    "csi-provisioner": (
        "--immediate-topology=false",
        "--strict-topology=false",
        "--extra-create-metadata",
        "--default-fstype=ext4",
        "--feature-gates=Topology=true",
    ),
    "csi-attacher": (),
    "csi-resizer": (),
    "csi-snapshotter": ("--extra-create-metadata", GROUP_GATE),
}


def run_sidecars(cluster: Cluster, csi_socket: Path) -> list[Service]:
    """Started, one of each, as the administrator; they wait for `csi_socket`, a path of the machine, to answer.

    They end with the cluster, or by `stop`. `Host.socket` leads to a controller's socket in a host.
    """
    started = []
    for program in binaries.SIDECARS:
        argv = [
            str(binaries.program(program)),
            f"--csi-address={csi_socket}",
            f"--kubeconfig={cluster.places.admin}",
            "--timeout=60s",
            "--v=3",
            *ARGUMENTS[program.name],
        ]
        started.append(cluster.run_beside(program.name, argv))
    return started


def register_driver(cluster: Cluster, driver: str, socket: str) -> None:
    """Make the driver that listens on `socket` in each host known to its kubelet; returns when each CSINode has it."""
    program = "/run/registrar.py"
    for node in cluster.nodes.values():
        node.host.put(program, REGISTRAR.read_bytes())
        argv = ["python3", program, driver, socket, f"{REGISTRATIONS}/{driver}-reg.sock"]
        node.host.spawn(argv, name="registrar", env={"PYTHONPATH": PACKAGES})
    eventually(lambda: all(driver in _drivers(cluster, name) for name in cluster.nodes), within=60)


def _drivers(cluster: Cluster, node: str) -> list[str]:
    """The drivers that kubelet knows on that node."""
    return cluster.kubectl("get", f"csinode/{node}", "--output=jsonpath={.spec.drivers[*].name}").split()
