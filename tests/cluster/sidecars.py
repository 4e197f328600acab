"""The CSI sidecars as processes beside the API server: a driver's first claim before it has an image and a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.cluster import Cluster
from tests.cluster.processes import Service
from tests.cluster.snapshots import GROUP_GATE

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
        service = Service(cluster.lab, program.name, argv, cluster.places.logs)
        service.start()
        started.append(service)
    return started
