"""``clinker stop-exports``: the last step of a storage node's orderly shutdown."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from csi_driver import settings


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    text = "take down and flush every export of this host before it is shut down"
    parser = commands.add_parser(
        "stop-exports",
        help=text,
        description="Take down and flush every export of this host, and note that it was done: after the next boot "
        "volumes with writeCache: back go on as if nothing had happened. To be run when the node process has ended "
        "(it waits for that) and before the power goes.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings of the node, in TOML")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """The exit status."""
    chosen = settings.load(args.config)
    from csi_driver.wiring import logs
    from csi_driver.wiring.stop import stop_exports

    logs.begin(chosen.log_format, chosen.log_level)
    count = asyncio.run(stop_exports(chosen))
    print(f"{count} exports stopped")
    return 0
