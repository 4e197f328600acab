"""`python3 -m tests.e2e.install`: Clinker on a test cluster as an operator puts it there: images, keys, helm."""

from __future__ import annotations

import argparse
import json
import os
import subprocess  # noqa: TID251  # it runs helm, and has no event loop to block
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster import binaries, images
from tests.cluster.__main__ import DEFAULT_NAME
from tests.cluster.cluster import Cluster
from tests.cluster.image_build import NAME, image
from tests.lab import LabError
from tests.stack.stack import POOL, THIN_POOL, VG, make_pool

TOP = Path(__file__).resolve().parents[2]
CHART = TOP / "charts" / "clinker"
RELEASE, NAMESPACE = "clinker", "clinker"
SECRET = "clinker-controller-tls"
SIDECARS = ("csi-provisioner", "csi-attacher", "csi-resizer", "csi-snapshotter")
ZONES = {"host1": "a", "host2": "b", "host3": "b"}
INSTALL_LIMIT = 180
"""Seconds until everything of the chart must be ready."""


def values() -> dict[str, object]:
    """What fits a test cluster: its images are loaded, its disks have no path of a hardware."""
    return {
        "image": {"repository": NAME.rpartition(":")[0], "tag": NAME.rpartition(":")[2], "pullPolicy": "Never"},
        "pools": [{"name": POOL, "vg": VG, "thinPool": THIN_POOL}],
        "tls": {"existingSecret": SECRET},
        "node": {"lvmDevices": ["/dev/ubd.*", "/dev/mapper/lab-.*"]},
        "sidecars": {"provisioner": {"capacityPollInterval": "5s"}},
    }


def install(cluster: Cluster, further: Mapping[str, object] | None = None) -> None:
    """Return when the driver is ready on every node; raises LabError with what helm said.

    `further` goes over `values`, table by table.
    """
    load_images(cluster)
    for host in cluster.lab.hosts:
        if host.disks:
            make_pool(host)
        # Before there are pods: Kubernetes copies the label onto a pod when it binds it.
        zone = f"topology.kubernetes.io/zone={ZONES.get(host.name, 'b')}"
        cluster.kubectl("label", "node", host.name, zone, "--overwrite")
    make_namespace(cluster)
    helm_install(cluster, {**values(), **(further or {})})


def load_images(cluster: Cluster) -> None:
    """The driver's, built now if need be, and the sidecars', onto every node."""
    for program in binaries.SIDECARS:
        if program.name in SIDECARS:
            cluster.import_image(images.archive(images.sidecar(program)))
    cluster.import_image(image().archive)


def make_namespace(cluster: Cluster) -> None:
    """The namespace with the label that lets privileged pods in, and the controller's keys in it."""
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    metadata = {"name": NAMESPACE, "labels": labels}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}))
    pki = _pki(cluster)
    if not pki.exists():
        clinker("pki", "ca", "--folder", str(pki))
        clinker("pki", "issue", "--folder", str(pki), "--role", "controller")
    files = ("ca.crt", "controller.crt", "controller.key")
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {name: (pki / name).read_text() for name in files},
    }
    cluster.apply(json.dumps(secret))


def helm_install(cluster: Cluster, chosen: Mapping[str, object]) -> str:
    """`helm upgrade --install --wait` with these values; what it printed."""
    file = cluster.lab.folder / "values.json"
    file.write_text(json.dumps(chosen))
    return helm(
        cluster,
        *("upgrade", RELEASE, str(CHART), "--install", "--namespace", NAMESPACE, "--values", str(file)),
        *("--set-file", f"tls.caBundle={_pki(cluster) / 'ca.crt'}"),
        *("--wait", f"--timeout={INSTALL_LIMIT}s"),
        timeout=INSTALL_LIMIT + 30,
    )


def helm(cluster: Cluster, *arguments: str, timeout: float = 60.0) -> str:
    """What helm prints, as the cluster's administrator; raises LabError with it when it fails."""
    home = cluster.lab.folder / "helm"
    folders = [f"HELM_{kind}_HOME={home}/{kind.lower()}" for kind in ("CACHE", "CONFIG", "DATA")]
    program = str(binaries.program(binaries.HELM))
    command = cluster.lab.network_command(["env", f"KUBECONFIG={cluster.places.admin}", *folders, program, *arguments])
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, cwd="/")
    if done.returncode != 0:
        raise LabError(f"helm {arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def clinker(*arguments: str) -> None:
    """Run the command `clinker` of this tree; raises LabError with what it said."""
    command = [sys.executable, "-m", "csi_driver", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=TOP, env=dict(os.environ))
    if done.returncode != 0:
        raise LabError(f"clinker {' '.join(arguments)}: {done.stderr}")


def _pki(cluster: Cluster) -> Path:
    return cluster.lab.folder / "clinker-pki"


def main(argv: Sequence[str] | None = None) -> None:
    """Install on a cluster that `python3 -m tests.cluster up` started."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.e2e.install", description=main.__doc__)
    parser.add_argument("--name", default=DEFAULT_NAME, help="of the cluster (default: %(default)s)")
    arguments = parser.parse_args(argv)
    try:
        cluster = Cluster.attach(arguments.name)
        install(cluster)
        print(cluster.kubectl("get", "pods,csistoragecapacities", f"--namespace={NAMESPACE}"), end="")
    except (LabError, subprocess.SubprocessError) as error:
        sys.exit(f"install: {error}")


if __name__ == "__main__":
    main()
