"""The command ``clinker``: one file for each of its commands. Errors are one sentence and an exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from csi_driver.cli import pki, serve, simulate, stop, uninstall_check, version
from csi_driver.errors import DriverError

COMMANDS = (serve, stop, pki, uninstall_check, simulate, version)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 is well, 1 an error told on standard error, 2 a command line that makes no sense."""
    args = parser().parse_args(argv)
    try:
        status: int = args.run(args)
    except DriverError as error:
        print(f"clinker: {error}", file=sys.stderr)
        return 1
    return status


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    top = argparse.ArgumentParser(
        prog="clinker",
        description="A CSI driver that cuts volumes from LVM on the cluster's own nodes: local first, iSCSI elsewhere.",
    )
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top
