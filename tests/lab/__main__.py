"""`python3 -m tests.lab`: a lab for people, see `--help`."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Sequence

from tests.lab import image, leftovers, tools
from tests.lab.errors import LabError
from tests.lab.kernel import kernel
from tests.lab.lab import Lab
from tests.lab.spec import HostSpec, ImageSpec
from tests.lab.terminal import shell

DEFAULT_NAME = "lab"
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text: str) -> int:
    """Bytes of `512M`, `4G` and the like; raises ValueError for anything else."""
    match = re.fullmatch(r"(\d+)([KMGT]?)", text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is not a size such as 512M or 4G")
    return int(match[1]) * UNITS[match[2]]


def sizes(text: str) -> tuple[int, ...]:
    """Of `4G,4G`; none of an empty text."""
    return tuple(size(part) for part in text.split(",")) if text else ()


def build(_arguments: argparse.Namespace) -> None:
    """Build what is cached."""
    tools.install_prerequisites()
    print(f"lab: {image.image(ImageSpec(), kernel())} is ready")


def up(arguments: argparse.Namespace) -> None:
    """Boot a lab that stays."""
    disks, count = arguments.disks, arguments.hosts
    specs = [HostSpec(f"host{number}", disks, arguments.memory) for number in range(1, count + 1)]
    started = time.monotonic()
    lab = Lab(specs, name=arguments.name, detached=True)
    lab.up()
    print(f"lab: {lab.name} is up, {count} hosts in {time.monotonic() - started:.1f} s; logs in {lab.folder}/logs")
    suffix = "" if lab.name == DEFAULT_NAME else f" LAB={lab.name}"
    for host in lab.hosts:
        print(f"  {host.name}  {host.address}  {' '.join(host.disks)}")
    print(f"  a shell:  make lab-shell HOST=host1{suffix}")
    print(f"  the end:  make lab-down{suffix}")


def down(arguments: argparse.Namespace) -> None:
    """End a lab, or what is left of one."""
    try:
        Lab.attach(arguments.name).down()
    except LabError:
        folder = leftovers.SHM / f"{leftovers.PREFIX}{arguments.name}"
        if not folder.exists():
            raise
        leftovers.remove(folder)
    print(f"lab: {arguments.name} is down")


def list_labs(_arguments: argparse.Namespace) -> None:
    """Print every lab of the machine."""
    for folder in leftovers.folders():
        claim = leftovers.read_claim(folder)
        owner = f"process {claim.owner.pid}" if claim and claim.owner else "nobody, stays until down"
        state = "up" if claim and claim.alive else "dead, removed by the next lab"
        print(f"{folder.name.removeprefix(leftovers.PREFIX)}  {state}  owner: {owner}  {folder}")


def open_shell(arguments: argparse.Namespace) -> None:
    """A terminal in a host."""
    shell(Lab.attach(arguments.name).host(arguments.host), ["bash", "-l"])


def run(arguments: argparse.Namespace) -> None:
    """Run a command in a host, and end as it ended."""
    host = Lab.attach(arguments.name).host(arguments.host)
    ended = host.run(arguments.command, timeout=arguments.timeout, check=False)
    sys.stdout.buffer.write(ended.output)
    sys.stdout.flush()
    sys.stderr.write(ended.stderr)
    sys.exit(ended.rc if ended.rc >= 0 else 128 - ended.rc)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m tests.lab", description="Test hosts as ordinary processes.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, act: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, help=(act.__doc__ or "").splitlines()[0])
        made.set_defaults(act=act)
        return made

    verb("build", build)
    verb("list", list_labs)
    of_up = verb("up", up)
    of_up.add_argument("--hosts", type=int, default=3)
    of_up.add_argument("--disks", type=sizes, default=sizes("4G"), help="of each host: 4G,4G (default: 4G)")
    of_up.add_argument("--memory", type=int, default=1024, help="MiB of each host (default: 1024)")
    of_up.add_argument("--name", default=DEFAULT_NAME)
    verb("down", down).add_argument("name", nargs="?", default=DEFAULT_NAME)
    of_shell = verb("shell", open_shell)
    of_shell.add_argument("host")
    of_shell.add_argument("name", nargs="?", default=DEFAULT_NAME)
    of_run = verb("run", run)
    of_run.add_argument("--name", default=DEFAULT_NAME)
    of_run.add_argument("--timeout", type=float, default=600.0, help="seconds (default: 600)")
    of_run.add_argument("host")
    of_run.add_argument("command", nargs="+", help="after --")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    """Say in one line what went wrong, if it did."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.act(arguments)
    except LabError as error:
        sys.exit(f"lab: {error}")


if __name__ == "__main__":
    main()
