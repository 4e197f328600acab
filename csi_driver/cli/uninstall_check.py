"""``clinker uninstall-check``: what `helm uninstall` runs before it removes anything."""

from __future__ import annotations

import argparse
import asyncio


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "fail while PersistentVolumes or VolumeAttachments of the driver exist in the cluster"
    parser = commands.add_parser("uninstall-check", help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument(
        "--kubeconfig", default="", metavar="FILE", help="how to reach the cluster (default: as a pod in it)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when none exists. Raises Precondition naming those that do."""
    from csi_driver.wiring.uninstall import uninstall_check

    asyncio.run(uninstall_check(args.kubeconfig))
    print("no PersistentVolume and no VolumeAttachment of the driver is left")
    return 0
