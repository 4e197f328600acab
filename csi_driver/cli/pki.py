"""``clinker pki``: the keys and certificates by which controllers and agents know each other."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from csi_driver.errors import InvalidRequest

if TYPE_CHECKING:
    from csi_driver.cli.certificates import Pair

CA = "ca"
"""The CA's files are ``ca.crt`` and ``ca.key``, a holder's ``NAME.crt`` and ``NAME.key``, all in one folder."""
SELF = "self"
"""The name of a certificate that an agent makes for itself."""
CA_DAYS, DAYS = 3650, 365
ROLES = ("controller", "node")


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its own two."""
    parser = commands.add_parser(
        "pki",
        help="make a CA, and certificates for controllers and nodes",
        description="Agents obey only a certificate with the role controller; a controller speaks only to an agent "
        "whose certificate names the very node.",
    )
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    ca = verbs.add_parser("ca", help="make a CA: ca.crt and ca.key")
    _common(ca, days=CA_DAYS)
    ca.set_defaults(run=run_ca)
    issue = verbs.add_parser("issue", help="issue a certificate by the CA in the same folder: NAME.crt and NAME.key")
    _common(issue, days=DAYS)
    issue.add_argument("--role", choices=ROLES, required=True)
    issue.add_argument("--name", default="", help="a node's name as Kubernetes knows it (controller: just the files')")
    issue.add_argument(
        "--address", action="append", default=[], help="for a node: a further IP address or DNS name; may be repeated"
    )
    issue.set_defaults(run=run_issue)
    own = verbs.add_parser("self", help="make a node's own certificate, signed by nobody: self.crt and self.key")
    _common(own, days=CA_DAYS)
    own.add_argument("--name", required=True, help="the node's name as Kubernetes knows it")
    own.set_defaults(run=run_self)


def _common(parser: argparse.ArgumentParser, *, days: int) -> None:
    parser.add_argument("--folder", type=Path, required=True, help="where everything lies; made if need be")
    parser.add_argument("--days", type=_days, default=days, help="how long it is good (default: %(default)s)")


def run_ca(args: argparse.Namespace) -> int:
    """Write a new CA. InvalidRequest when one is there: every certificate it issued would become worthless."""
    from csi_driver.cli import certificates

    for path in _files(args.folder, CA):
        if path.exists():
            raise InvalidRequest(f"{path} exists: a CA is never overwritten")
    _put(args.folder, CA, certificates.make_ca(days=args.days))
    return 0


def run_issue(args: argparse.Namespace) -> int:
    """Write a certificate and its key, over older ones too: running processes take up the new ones."""
    from csi_driver.cli import certificates

    ca = _read_ca(args.folder)
    if args.role == "node":
        if not args.name or args.name == CA:
            raise InvalidRequest(f"--role node needs --name, which cannot be {CA!r}: the certificate is for one node")
        made = certificates.issue_node(ca, args.name, args.address, days=args.days)
    else:
        if args.address:
            raise InvalidRequest("--address belongs to --role node: a controller may run anywhere")
        made = certificates.issue_controller(ca, days=args.days)
    name = args.name or args.role
    if name == CA or "/" in name:
        raise InvalidRequest(f"--name {name!r} cannot be the name of its files")
    _put(args.folder, name, made)
    return 0


def run_self(args: argparse.Namespace) -> int:
    """Write a new key and its certificate, over older ones too. ``clinker node`` does this at each start."""
    from csi_driver.cli import certificates

    _put(args.folder, SELF, certificates.make_self_signed(args.name, days=args.days))
    return 0


def _files(folder: Path, name: str) -> tuple[Path, Path]:
    return folder / f"{name}.key", folder / f"{name}.crt"


def _read_ca(folder: Path) -> Pair:
    from csi_driver.cli.certificates import Pair

    key, certificate = _files(folder, CA)
    try:
        return Pair(certificate.read_bytes(), key.read_bytes())
    except OSError as error:
        raise InvalidRequest(f"there is no CA in {folder}: {error.filename}: {error.strerror}") from error


def _put(folder: Path, name: str, pair: Pair) -> None:
    key, certificate = _files(folder, name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(key, pair.key, 0o600)
        _write(certificate, pair.certificate, 0o644)
    except OSError as error:
        raise InvalidRequest(f"{error.filename}: {error.strerror}") from error


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all."""
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    aside.replace(path)


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= 36500:
        raise argparse.ArgumentTypeError("must be between 1 and 36500")
    return days
