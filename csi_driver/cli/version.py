"""``clinker version``."""

from __future__ import annotations

import argparse

from csi_driver import DRIVER_NAME, __version__


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser("version", help="print the version")
    parser.set_defaults(run=run)


def run(_args: argparse.Namespace) -> int:
    """Print it."""
    print(f"clinker {__version__} ({DRIVER_NAME})")
    return 0
