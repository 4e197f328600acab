"""The programs of a Kubernetes cluster, built from the Go module proxy once and cached outside the tree."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.gotools.build import build, pinned_version

MODULES = Path(__file__).parent / "gomod"


@dataclass(frozen=True, slots=True)
class Program:
    """One program: its name, the module folder that pins it, its package, and the module its version is of."""

    name: str
    module: str
    package: str
    versioned: str


KUBERNETES = tuple(
    Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", "k8s.io/kubernetes")
    for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kubectl")
)
ETCD = Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/server/v3")
HELM = Program("helm", "helm", "helm.sh/helm/v4/cmd/helm", "helm.sh/helm/v4")
SIDECARS = tuple(
    Program(
        f"csi-{role}",
        "sidecars",
        f"github.com/kubernetes-csi/{module}/cmd/csi-{role}",
        f"github.com/kubernetes-csi/{module}",
    )
    for role, module in (
        ("provisioner", "external-provisioner/v6"),
        ("attacher", "external-attacher/v4"),
        ("resizer", "external-resizer/v2"),
        ("snapshotter", "external-snapshotter/v8"),
    )
)
SNAPSHOT_CONTROLLER = Program(
    "snapshot-controller",
    "sidecars",
    "github.com/kubernetes-csi/external-snapshotter/v8/cmd/snapshot-controller",
    "github.com/kubernetes-csi/external-snapshotter/v8",
)
ALL = (ETCD, *KUBERNETES, *SIDECARS, SNAPSHOT_CONTROLLER, HELM)


def program(which: Program) -> Path:
    """The program as a file, built now if need be (minutes, the first time)."""
    module = MODULES / which.module
    version = pinned_version(module, which.versioned)
    return build(module, which.package, which.name, ldflags=_stamps(which.module, version))


def _stamps(module: str, version: str) -> str:
    """What makes a program tell its version: kubelet and API server compare theirs."""
    if module == "sidecars":
        return f"-X main.version={version}"
    if module != "kubernetes":
        return ""
    major, minor = re.findall(r"\d+", version)[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    stamps = [f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items()]
    return " ".join([*stamps, f"-X k8s.io/client-go/pkg/version.gitVersion={version}"])


if __name__ == "__main__":
    for each in ALL:
        print(each.name, program(each), flush=True)
