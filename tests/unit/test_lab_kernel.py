"""Which suite's kernel the lab takes; the fetching itself is real in ``tests/lab_suite``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.errors import BuildFailed
from tests.lab.kernel import ABOUT, SUITES, build


class Archive:
    """Suites of which some cannot be had."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing
        self.asked: list[str] = []

    def fetch(self, suite: str, partial: Path, _final: Path) -> None:
        self.asked.append(suite)
        assert list(partial.iterdir()) == [], "nothing of the suite before is in the way"
        (partial / "apt").mkdir()
        (partial / ABOUT).write_text(json.dumps({"suite": suite}))
        if suite in self.missing:
            raise BuildFailed(f"apt-get update failed\n404 {suite}")


def test_newest_first(tmp_path: Path) -> None:
    archive = Archive()
    build(tmp_path, tmp_path, fetch=archive.fetch)
    assert archive.asked == ["unstable"]


def test_next_suite_when_the_newest_cannot_be_had(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = Archive("unstable", "testing")
    build(tmp_path, tmp_path, fetch=archive.fetch)
    assert archive.asked == ["unstable", "testing", "trixie"]
    assert json.loads((tmp_path / ABOUT).read_text()) == {"suite": "trixie"}
    said = capsys.readouterr().out
    assert "no kernel from unstable, trying the next suite (404 unstable)" in said
    assert "no kernel from testing, trying the next suite (404 testing)" in said


def test_no_suite_at_all(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed) as failed:
        build(tmp_path, tmp_path, fetch=Archive(*SUITES).fetch)
    assert all(f"404 {suite}" in str(failed.value) for suite in SUITES)
    assert list(tmp_path.iterdir()) == []
