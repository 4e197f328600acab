"""``clinker controller``, ``clinker node``, ``clinker standalone``: the long-running processes."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from csi_driver import settings
from csi_driver.errors import InvalidRequest

MODES = {
    "controller": "serve CSI Identity and Controller; speak to agents",
    "node": "serve CSI Identity and Node, and the Agent service for controllers",
    "standalone": "serve all of CSI for this one host",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add one command for each mode."""
    for mode, text in MODES.items():
        parser = commands.add_parser(mode, help=text, description=f"{text[0].upper()}{text[1:]}.")
        parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="settings, in TOML")
        parser.set_defaults(run=run, mode=mode)


def run(args: argparse.Namespace) -> int:
    """Run until told to stop; the exit status."""
    chosen = settings.load(args.config)
    from csi_driver.wiring import logs

    if chosen.log_format not in logs.FORMATS or chosen.log_level not in logs.LEVELS:
        raise InvalidRequest(
            f"{args.config}: log_format is one of {', '.join(logs.FORMATS)}, log_level of {', '.join(logs.LEVELS)}"
        )
    logs.begin(chosen.log_format, chosen.log_level)
    return asyncio.run(_serve(args.mode, chosen))


async def _serve(mode: str, chosen: settings.Settings) -> int:
    """Imports nothing that the mode does not need: each process must stay small."""
    if mode == "controller":
        from csi_driver.wiring.controller import controller

        return await controller(chosen)
    if mode == "node":
        from csi_driver.wiring.node import node

        return await node(chosen)
    from csi_driver.wiring.standalone import standalone

    return await standalone(chosen)
