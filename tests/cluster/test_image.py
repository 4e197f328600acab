"""The image that the Dockerfile makes runs where it will run: in containerd, without privilege, its root read-only."""

from __future__ import annotations

import json
import shlex
from collections.abc import Generator
from itertools import count
from typing import Any

import pytest

from csi_driver import DRIVER_NAME, __version__
from tests.cluster.cluster import Cluster, cluster_hosts
from tests.cluster.image_build import MOST_BEYOND_BASE, NAME, Built, image

numbers = count()


@pytest.fixture(scope="module")
def built() -> Built:
    return image()


@pytest.fixture(scope="module")
def cluster(built: Built) -> Generator[Cluster]:
    """One node that has the image."""
    with Cluster(cluster_hosts(1)) as running:
        running.import_image(built.archive)
        yield running


def printed(cluster: Cluster, args: list[str], *, command: list[str] | None = None) -> str:
    """What a container of the image prints, as an unprivileged user with a read-only root file system."""
    name = f"run-{next(numbers)}"
    secured: dict[str, Any] = {"readOnlyRootFilesystem": True, "runAsNonRoot": True}
    secured |= {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container: dict[str, Any] = {
        "name": "main",
        "image": NAME,
        "imagePullPolicy": "Never",
        "args": args,
        "securityContext": secured,
    }
    if command:
        container["command"] = command
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "containers": [container]}
    cluster.apply(json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}))
    cluster.wait(f"pod/{name}", "jsonpath={.status.containerStatuses[0].state.terminated.reason}=Completed")
    return cluster.kubectl("logs", name)


def shell(cluster: Cluster, script: str) -> str:
    return printed(cluster, ["-ec", script], command=["/bin/sh"])


def test_it_runs_the_command(cluster: Cluster) -> None:
    assert printed(cluster, ["version"]) == f"clinker {__version__} ({DRIVER_NAME})\n"


def test_it_is_nobody_in_particular(cluster: Cluster) -> None:
    assert shell(cluster, "id -u; id -g").split() == ["65532", "65532"]


def test_what_the_driver_calls_is_there_and_starts(cluster: Cluster) -> None:
    wanted = ("lvm", "dmsetup", "mkfs.ext4", "resize2fs", "mkfs.xfs", "xfs_growfs", "thin_delta", "nsenter", "mount")
    found = shell(cluster, f"for each in {shlex.join(wanted)}; do command -v $each; done").split()
    assert [path.rpartition("/")[2] for path in found] == list(wanted)
    versions = shell(
        cluster, "mkfs.xfs -V; xfs_growfs -V; thin_delta --version; mkfs.ext4 -V 2>&1; lvm version --driverloaded n"
    )
    assert "LVM version" in versions


def test_there_is_no_compiler_no_pip_and_nothing_that_belongs_to_the_host(cluster: Cluster) -> None:
    absent = ("pip", "pip3", "gcc", "cc", "iscsiadm", "iscsid", "multipathd", "dockerd", "curl")
    script = f"for each in {shlex.join(absent)}; do ! command -v $each || exit 1; done; ! python3 -m pip 2>&1"
    assert "No module named pip" in shell(cluster, script)


def test_the_kubernetes_client_that_was_made_smaller_still_works(cluster: Cluster) -> None:
    code = (
        "from kubernetes.aio import client\n"
        "pod = client.V1Pod(metadata=client.V1ObjectMeta(name='web'), spec=client.V1PodSpec(containers=[]))\n"
        "api = client.CoreV1Api(client.ApiClient.__new__(client.ApiClient))\n"
        "print(pod.metadata.name, callable(api.create_namespaced_pod))\n"
    )
    assert printed(cluster, ["-c", code], command=["/opt/clinker/bin/python"]) == "web True\n"


def test_it_is_small_and_says_what_is_in_it(built: Built) -> None:
    assert built.beyond_base < MOST_BEYOND_BASE
    components = {each["name"]: each for each in json.loads(built.sbom.read_text())["components"]}
    assert {"lvm2", "xfsprogs", "thin-provisioning-tools", "grpcio", "clinker-csi"} <= components.keys()
    assert components["clinker-csi"]["purl"] == f"pkg:pypi/clinker-csi@{__version__}"
