"""`python3 -m tests.cluster`: a Kubernetes cluster for people, see `--help`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests.cluster import cluster as clusters
from tests.cluster.cluster import Cluster, cluster_hosts
from tests.lab import LabError, leftovers
from tests.stack.stack import THIN_POOL, VG, make_pool

DEFAULT_NAME = "cluster"


def build(_arguments: argparse.Namespace) -> None:
    """Build what is cached: the programs of Kubernetes, containerd, images."""
    clusters.build()
    print("cluster: everything is built")


def up(arguments: argparse.Namespace) -> None:
    """Start a cluster that stays."""
    started = time.monotonic()
    cluster = Cluster(cluster_hosts(arguments.hosts), name=arguments.name, detached=True)
    cluster.up()
    for host in cluster.lab.hosts:
        if host.disks:
            make_pool(host)
    print(f"cluster: {cluster.lab.name} is up in {time.monotonic() - started:.0f} s; logs in {cluster.lab.folder}/logs")
    for host in cluster.lab.hosts:
        pool = f"volume group {VG} with thin pool {THIN_POOL}" if host.disks else "no disk"
        print(f"  {host.name}  {host.address}  {pool}")
    suffix = "" if arguments.name == DEFAULT_NAME else f" --name {arguments.name}"
    print(f"  kubectl:  python3 -m tests.cluster kubectl{suffix} get nodes")
    print(f"            or {cluster.places.kubectl} get nodes")
    print(f"  KUBECONFIG={cluster.places.admin} works inside the cluster's network only; the script enters it:")
    print(f"            {cluster.places.enter} bash")
    print(f"  a host:   python3 -m tests.lab shell host1 {arguments.name}")
    print(f"  the end:  python3 -m tests.cluster down{suffix}")


def down(arguments: argparse.Namespace) -> None:
    """End a cluster, or what is left of one."""
    try:
        Cluster.attach(arguments.name).down()
    except LabError:
        folder = leftovers.SHM / f"{leftovers.PREFIX}{arguments.name}"
        if not folder.exists():
            raise
        leftovers.remove(folder)
    print(f"cluster: {arguments.name} is down")


def kubectl(arguments: argparse.Namespace) -> None:
    """Run kubectl on it, as its administrator."""
    command = Cluster.attach(arguments.name).kubectl_command(arguments.command)
    os.execv(command[0], command)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.cluster", description="Kubernetes on test hosts.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=(act.__doc__ or "").splitlines()[0])
        made.set_defaults(act=act)
        if act is not build:
            made.add_argument("--name", default=DEFAULT_NAME)
        return made

    verb("build", build)
    verb("up", up).add_argument("--hosts", type=int, default=3, help="the last has no disk (default: 3)")
    verb("down", down)
    verb("kubectl", kubectl).add_argument("command", nargs=argparse.REMAINDER)
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Say in one line what went wrong, if it did."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.act(arguments)
    except (LabError, subprocess.SubprocessError) as error:
        sys.exit(f"cluster: {error}")


if __name__ == "__main__":
    main()
