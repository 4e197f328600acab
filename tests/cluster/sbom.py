"""The bill of materials of an image's root file system, in CycloneDX 1.6 (JSON)."""

from __future__ import annotations

from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

DPKG_STATUS = "var/lib/dpkg/status"
DIST_INFO = "opt/clinker/lib/python3*/site-packages/*.dist-info/METADATA"


def bill_of_materials(tree: Path, name: str, version: str) -> dict[str, object]:
    """Every Debian package and every Python distribution in the tree, by package URL."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version}},
        "components": [*debian_packages(tree), *python_distributions(tree)],
    }


def debian_packages(tree: Path) -> Iterator[dict[str, str]]:
    """What dpkg has installed, by name."""
    stanzas = map(HeaderParser().parsestr, (tree / DPKG_STATUS).read_text().strip().split("\n\n"))
    for stanza in sorted(stanzas, key=lambda stanza: stanza["Package"]):
        if stanza["Status"] == "install ok installed":
            url = f"pkg:deb/debian/{quote(stanza['Package'])}@{quote(stanza['Version'])}?arch={stanza['Architecture']}"
            yield _component(stanza["Package"], stanza["Version"], url)


def python_distributions(tree: Path) -> Iterator[dict[str, str]]:
    """What pip has installed, by path."""
    for path in sorted(tree.glob(DIST_INFO)):
        about = HeaderParser().parsestr(path.read_text())
        url = f"pkg:pypi/{quote(about['Name'].lower().replace('_', '-'))}@{quote(about['Version'])}"
        yield _component(about["Name"], about["Version"], url)


def _component(name: str, version: str, url: str) -> dict[str, str]:
    return {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
