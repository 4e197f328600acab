"""The lab's cache: whole entries or none."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.lab import cache


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CLINKER_CACHE", str(tmp_path))
    return tmp_path


def test_built_once_for_the_same_dependencies(root: Path) -> None:
    built: list[Path] = []

    def build(partial: Path, final: Path) -> None:
        built.append(final)
        (partial / "file").write_text("whole")

    first = cache.entry("thing", ("a", "b"), build)
    assert cache.entry("thing", ("a", "b"), build) == first
    assert cache.entry("thing", ("ab", ""), build) != first
    assert built == sorted(built, key=built.index)
    assert len(built) == 2
    assert (first / "file").read_text() == "whole"
    assert first.parent == root


def test_a_failed_build_leaves_nothing(root: Path) -> None:
    def fail(partial: Path, _final: Path) -> None:
        (partial / "half").touch()
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        cache.entry("thing", ("a",), fail)
    assert [path.name for path in root.iterdir()] == [".thing.lock"]


def test_what_a_killed_build_left_is_not_used(root: Path) -> None:
    (root / ".thing.partial").mkdir()
    (root / ".thing.partial/half").touch()
    made = cache.entry("thing", ("a",), lambda partial, _final: (partial / "whole").touch())
    assert [path.name for path in made.iterdir()] == ["whole"]


def test_two_builders_build_once() -> None:
    built: list[int] = []

    def build(_partial: Path, _final: Path) -> None:
        built.append(1)
        time.sleep(0.1)  # noqa: TID251 -- no event loop: the other thread shall meet this build

    threads = [threading.Thread(target=cache.entry, args=("thing", ("a",), build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert built == [1]


def test_entries_out_of_use_go_with_the_next_build(root: Path) -> None:
    old = root / "thing-0000"
    old.mkdir()
    other = root / "thinglike-0000"
    other.mkdir()
    long_ago = time.time() - (cache.KEPT_DAYS + 1) * 86400
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    cache.entry("thing", ("a",), lambda _partial, _final: None)
    assert not old.exists()
    assert other.exists()
