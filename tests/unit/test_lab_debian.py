"""Where the machine's Debian archive is."""

from __future__ import annotations

import pytest

from tests.lab.debian import archives, mirror

DEB822 = """\
Types: deb
# URIs: http://commented/debian
URIs: http://one/debian
 http://two/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: http://off/debian
Suites: trixie

Types: deb
URIs: http://vendor/packages
Suites: nodistro
"""


def test_one_line_sources() -> None:
    text = "# deb http://off/debian trixie main\ndeb [arch=amd64 signed-by=/k] http://on/debian trixie main\n"
    assert archives(text) == ["http://on/debian"]
    assert archives("deb http://vendor/apt vendor-bookworm main\n") == []


def test_deb822_sources() -> None:
    assert archives(DEB822) == ["http://one/debian", "http://two/debian"]


def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLINKER_DEBIAN_MIRROR", "http://mine/debian")
    assert mirror() == "http://mine/debian"
