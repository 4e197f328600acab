"""Builds a package of a pinned Go module once, and finds it in the cache afterwards."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.gotools.cache import cache_dir, locked
from tests.gotools.toolchain import banner, go_binary, version_of


class GoBuildError(RuntimeError):
    """`go build` refused; the message ends with what it said."""


def build(module: Path, package: str, output: str, *, ldflags: str = "") -> Path:
    """The static program `output`, built from `package` as the go.mod in `module` pins it."""
    go = go_binary(minimum_go(module))
    key = _key(module, banner(go), package, ldflags)
    program = cache_dir() / "bin" / f"{output}-{key}"
    with locked(program):
        if not program.is_file():
            sys.stderr.write(f"building {output} from {package}\n")
            _go_build(go, module, package, program, ldflags)
    return program


def minimum_go(module: Path) -> tuple[int, ...]:
    """The version of Go that a module asks for."""
    line = re.search(r"^go (\S+)$", _go_mod(module), re.MULTILINE)
    if line is None:
        raise GoBuildError(f"{module / 'go.mod'} has no go line")
    return version_of(f"go{line[1]}")


def pinned_version(module: Path, requirement: str) -> str:
    """The version, such as v5.6.0, at which a go.mod requires another module."""
    line = re.search(rf"^\s*(?:require )?{re.escape(requirement)} (v\S+)", _go_mod(module), re.MULTILINE)
    if line is None:
        raise GoBuildError(f"{module / 'go.mod'} does not require {requirement}")
    return line[1]


def _go_mod(module: Path) -> str:
    return (module / "go.mod").read_text()


def _key(module: Path, go_version: str, package: str, ldflags: str) -> str:
    digest = hashlib.sha256(f"{go_version}\n{package}\n{ldflags}".encode())
    for path in sorted(_sources(module)):
        digest.update(f"\n{path.relative_to(module)}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _sources(module: Path) -> Iterator[Path]:
    yield from (module / "go.mod", module / "go.sum")
    yield from module.rglob("*.go")


def _go_build(go: Path, module: Path, package: str, program: Path, ldflags: str) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent) as scratch:
        staged = Path(scratch, program.name)
        done = subprocess.run(
            [go, "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
             "-ldflags", f"-s -w {ldflags}", "-o", staged, package],
            cwd=module,
            env={**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise GoBuildError(f"go build {package} in {module}:\n{done.stderr[-4000:]}")
        staged.rename(program)
