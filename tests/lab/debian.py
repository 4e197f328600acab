"""Debian packages of any suite, without touching the machine's own apt configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from tests.lab import tools
from tests.lab.errors import MissingPrerequisite

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_ONE_LINE = re.compile(r"^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)")
_SUITES = re.compile(r"^(unstable|sid|testing|stable|oldstable|bullseye|bookworm|trixie|forky)(-updates|-backports)?$")


def archives(text: str) -> list[str]:
    """The addresses of Debian archives in a sources file, in one-line or deb822 form."""
    found = [match[1] for line in text.splitlines() if (match := _ONE_LINE.match(line)) and _SUITES.match(match[2])]
    for stanza in re.split(r"\n\s*\n", text):
        fields = _fields(stanza)
        debian = any(_SUITES.match(suite) for suite in fields.get("suites", "").split())
        if debian and fields.get("enabled", "yes") != "no":
            found += fields.get("uris", "").split()
    return found


def _fields(stanza: str) -> dict[str, str]:
    """A deb822 stanza's fields by lower-case name; comments and continuation lines as deb822 has them."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            fields[name] += " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _source_files() -> Iterable[Path]:
    folder = Path("/etc/apt")
    yield folder / "sources.list"
    yield from sorted(folder.glob("sources.list.d/*.list"))
    yield from sorted(folder.glob("sources.list.d/*.sources"))


def mirror() -> str:
    """The Debian archive to use: `$CLINKER_DEBIAN_MIRROR`, else the first of the machine's apt sources."""
    chosen = os.environ.get("CLINKER_DEBIAN_MIRROR")
    if chosen:
        return chosen
    for path in _source_files():
        found = archives(path.read_text()) if path.exists() else []
        if found:
            return found[0]
    raise MissingPrerequisite("no Debian archive in /etc/apt: set CLINKER_DEBIAN_MIRROR to one's address")


def source_line(suite: str) -> str:
    """The apt source of a suite's main component, its signatures checked."""
    return f"deb [signed-by={KEYRING}] {mirror()} {suite} main"


class PrivateApt:
    """An apt of its own below a folder: its own lists and status, the machine's proxies and certificates."""

    def __init__(self, folder: Path, suite: str) -> None:
        self._folder, self._suite = folder, suite
        for needed in ("lists/partial", "archives/partial", "parts", "out"):
            (folder / needed).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text(source_line(suite) + "\n")

    def _options(self) -> list[str]:
        here, values = self._folder, {"APT::Sandbox::User": "root", "Acquire::Languages": "none"}
        values |= {"Dir::State": str(here), "Dir::State::lists": f"{here}/lists", "Dir::Cache": str(here)}
        values |= {"Dir::State::status": f"{here}/status", "Dir::Etc::sourcelist": f"{here}/sources.list"}
        values |= {f"Dir::Etc::{part}": f"{here}/parts" for part in ("sourceparts", "preferencesparts")}
        values |= {f"Acquire::IndexTargets::deb::{kind}::DefaultEnabled": "false" for kind in ("DEP-11", "CNF")}
        values["Acquire::Retries"] = "3"
        return [word for name, value in values.items() for word in ("-o", f"{name}={value}")]

    def update(self) -> None:
        """Fetch the suite's package list; raises BuildFailed when that fails."""
        tools.call(["apt-get", *self._options(), "update", "--error-on=any"], timeout=180)

    def unpack(self, package: str, target: Path) -> str:
        """Fetch and unpack a package without installing it; gives its version."""
        out = self._folder / "out"
        command = ["apt-get", *self._options(), "download", package]
        tools.call(command, timeout=300, folder=out)  # it downloads into the current folder
        archive = next(out.glob(f"{package}_*.deb"))  # name_version_architecture.deb
        tools.call(["dpkg", "-x", str(archive), str(target)], timeout=120)
        archive.unlink()
        return archive.name.split("_")[1]
