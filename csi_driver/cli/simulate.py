"""``clinker simulate``: what policies make of a fleet and a stream of requests. Touches nothing."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from csi_driver.errors import InvalidRequest
from csi_driver.model.parameters import parse
from csi_driver.model.sizes import GIB, KIB, MIB, TIB
from csi_driver.scheduler import simulation
from csi_driver.scheduler.decide import Scheduler
from csi_driver.scheduler.request import PoolView

_SIZE = re.compile(r"(\d{1,15})(Ki|Mi|Gi|Ti|)")
_UNITS = {"": 1, "Ki": KIB, "Mi": MIB, "Gi": GIB, "Ti": TIB}
MOST = 100_000
COLUMNS = ("policy", "placed", "refused", "local", "fill", "fullest", "imbalance", "refused by")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "simulate", help="compare policies of placing", description="Compare policies of placing; touches nothing."
    )
    parser.add_argument(
        "--fleet", type=Path, metavar="FILE", help="a JSON list of pools: node, pool, size, zone, labels"
    )
    parser.add_argument("--nodes", type=int, default=6, help="without --fleet: nodes of one pool each (6)")
    parser.add_argument("--zones", type=int, default=3, help="and over how many zones (3)")
    parser.add_argument("--pool-size", default="1Ti", metavar="SIZE", help="and how large each pool is (1Ti)")
    parser.add_argument("--requests", type=int, default=500, help="how many volumes are asked for (500)")
    parser.add_argument("--sizes", default="1Gi,5Gi,20Gi", help="their sizes, each as likely (1Gi,5Gi,20Gi)")
    parser.add_argument(
        "--lose", action="append", default=[], metavar="NODE@N", help="NODE falls silent before request N"
    )
    parser.add_argument(
        "--policy",
        action="append",
        default=[],
        metavar="NAME:KEY=VALUE[;KEY=VALUE]",
        help="class parameters under a name; without one the defaults are shown",
    )
    parser.add_argument("--seed", default="1", help="of everything random (1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print what comes of each policy. Raises InvalidRequest."""
    pools = _fleet(args)
    nodes = sorted({view.pool.node for view in pools})
    if not 0 < args.requests <= MOST:
        raise InvalidRequest(f"--requests {args.requests} is not from 1 to {MOST}")
    stream = simulation.arrivals(args.requests, [_size(each) for each in args.sizes.split(",")], nodes, args.seed)
    losses = dict(_loss(each, nodes) for each in args.lose)
    policies = dict(_policy(each) for each in args.policy) or {"default": {}}
    outcomes = {
        name: simulation.run(Scheduler(), pools, stream, parse(parameters, {}), losses=losses)
        for name, parameters in policies.items()
    }
    print(_json(outcomes) if args.json else _table(outcomes))
    return 0


def _fleet(args: argparse.Namespace) -> list[PoolView]:
    if args.fleet is None:
        if not (0 < args.nodes <= 1000 and 0 < args.zones <= args.nodes):
            raise InvalidRequest("--nodes is from 1 to 1000, and --zones not more than that")
        size = _size(args.pool_size)
        return [simulation.pool(f"n{n:03}", "data", size, zone=f"z{n % args.zones}") for n in range(args.nodes)]
    try:
        entries = json.loads(args.fleet.read_text())
        found = [_entry(entry) for entry in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidRequest(f"{args.fleet}: {error!r}") from error
    if not found or len({view.name for view in found}) != len(found):
        raise InvalidRequest(f"{args.fleet}: it has no pool, or one twice")
    return found


def _entry(entry: Mapping[str, Any]) -> PoolView:
    return simulation.pool(
        str(entry["node"]),
        str(entry.get("pool", "data")),
        _size(str(entry["size"])),
        zone=str(entry.get("zone", "")),
        labels={str(key): str(value) for key, value in entry.get("labels", {}).items()},
    )


def _size(text: str) -> int:
    match = _SIZE.fullmatch(text.strip())
    if match is None or not int(match[1]):
        raise InvalidRequest(f"{text!r} is no size, as 10Gi is one")
    return int(match[1]) * _UNITS[match[2]]


def _loss(text: str, nodes: list[str]) -> tuple[int, str]:
    node, _, number = text.rpartition("@")
    if node not in nodes or not number.isdecimal():
        raise InvalidRequest(f"--lose {text}: it is NODE@N, and nodes are {', '.join(nodes[:3])} ...")
    return int(number), node


def _policy(text: str) -> tuple[str, dict[str, str]]:
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(";") if part.strip()]
    if not name or not colon or any(not sign for _, sign, _ in pairs):
        raise InvalidRequest(f"--policy {text}: it is NAME:KEY=VALUE, several with ';'")
    return name, {key.strip(): value.strip() for key, _, value in pairs}


def _json(outcomes: Mapping[str, simulation.Outcome]) -> str:
    told = {
        name: {**asdict(each), "imbalance": each.imbalance, "locality": each.locality}
        for name, each in outcomes.items()
    }
    return json.dumps(told, indent=2)


def _table(outcomes: Mapping[str, simulation.Outcome]) -> str:
    rows = [COLUMNS, *(_row(name, each) for name, each in outcomes.items())]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _row(name: str, outcome: simulation.Outcome) -> tuple[str, ...]:
    by = ", ".join(f"{each} {count}" for each, count in sorted(outcome.refusals.items()))
    return (
        name,
        str(outcome.placed),
        str(outcome.refused),
        f"{outcome.locality:.0%}",
        f"{outcome.mean_fill:.0%}",
        f"{outcome.most_fill:.0%}",
        f"{outcome.imbalance:.0%}",
        by or "-",
    )
