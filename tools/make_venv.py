"""Makes the checkout's `.venv`: the locked tools, for the Python that runs this.

Needs nothing but the standard library, because it runs first on a new machine. The environment itself lies in
`~/.cache/clinker/venv-KEY`, keyed by the lock and the interpreter, and `.venv` is a link to it: a second clone
is ready at once. A mark is written last, and an environment without it is thrown away.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
LOCK = TOP / "requirements-dev.lock"
CACHE = Path(os.environ.get("CLINKER_CACHE") or Path.home() / ".cache" / "clinker")
MARK = ".whole"
FORGET_AFTER_DAYS = 30


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 (runs before anything has looked at the version)
        sys.exit(f"Clinker needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}")
    home = CACHE / f"venv-{key()}"
    if not (home / MARK).exists():
        ensure_venv_module()
        with exclusive(home):
            if not (home / MARK).exists():
                build(home)
    os.utime(home / MARK)
    link(home)


def key() -> str:
    """What an environment depends on: the lock, the interpreter and the machine's kind."""
    parts = [LOCK.read_bytes(), sys.version.encode(), sys.base_prefix.encode(), os.uname().machine.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


@contextmanager
def exclusive(home: Path) -> Iterator[None]:
    """One builder at a time, over all checkouts of this user."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{home.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def ensure_venv_module() -> None:
    """Debian ships `venv` without what it needs to work; the rest is in python3-venv."""
    if importlib.util.find_spec("ensurepip"):
        return
    package = "python3-venv"
    if not shutil.which("apt-get"):
        sys.exit(f"{sys.executable} cannot make virtual environments: install {package}")
    say(f"installing {package} (apt)")
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run([*sudo, "apt-get", "-qq", "update"], check=True, stdout=sys.stderr, env=env)
        install = [*sudo, "apt-get", "-qq", "install", "-y", "--no-install-recommends", package]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, env=env)
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"could not install {package}: {error}")
    importlib.invalidate_caches()
    if not importlib.util.find_spec("ensurepip"):
        sys.exit(f"{package} is installed, but {sys.executable} still has no ensurepip: use Debian's python3")


def build(home: Path) -> None:
    say(f"installing the locked packages of {LOCK.name} (PyPI) into {home}")
    shutil.rmtree(home, ignore_errors=True)
    prune()
    pip = [str(home / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    try:
        subprocess.run([sys.executable, "-m", "venv", home], check=True, stdout=sys.stderr)
        subprocess.run([*pip, "--only-binary=:all:", "--require-hashes", "-r", str(LOCK)], check=True)
    except subprocess.CalledProcessError:
        sys.exit(f"could not install the packages of {LOCK.name}: see above for the one that failed")
    (home / MARK).touch()


def prune() -> None:
    """Environments that no checkout has used for a month go."""
    for mark in CACHE.glob(f"venv-*/{MARK}"):
        if mark.stat().st_mtime < time.time() - FORGET_AFTER_DAYS * 86400:
            shutil.rmtree(mark.parent)


def link(home: Path) -> None:
    """Points `.venv` at the environment; a rename, so that no reader ever finds it missing."""
    venv = TOP / ".venv"
    if venv.is_symlink() and venv.readlink() == home:
        return
    if venv.is_dir() and not venv.is_symlink():
        sys.exit(f"{venv} was not made by this: remove it, then run make again")
    fresh = TOP / f".venv.{os.getpid()}"
    fresh.symlink_to(home)
    fresh.replace(venv)


def say(text: str) -> None:
    print(f"setup: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
