"""Starts programs on the machine and says which package a missing one is in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.lab.errors import BuildFailed, MissingPrerequisite

PACKAGES = {
    "apt-get": "apt",
    "depmod": "kmod",
    "dpkg": "dpkg",
    "ip": "iproute2",
    "mke2fs": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "patchelf": "patchelf",
    "unshare": "util-linux",
}
"""The programs that the lab starts on the machine, and the Debian package of each."""

FILES = {"/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring"}
"""Other files that it needs, by package."""

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TUN = Path("/dev/net/tun")


def find(program: str) -> str:
    """The program's path; raises MissingPrerequisite naming its package."""
    path = shutil.which(program, path=SYSTEM_PATH)
    if path is None:
        package = PACKAGES.get(program, program)
        raise MissingPrerequisite(f"{program} is missing: apt-get install {package}")
    return path


def call(
    argv: Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    folder: Path | None = None,
) -> str:
    """What the program printed; raises BuildFailed with its output when it fails or takes over `timeout` s."""
    argv = [find(argv[0]), *argv[1:]]
    full_env = {**os.environ, **(env or {}), "LC_ALL": "C.UTF-8"}
    try:
        ended = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=full_env,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildFailed(f"{' '.join(argv)}: not done after {timeout:.0f} s") from error
    if ended.returncode != 0:
        printed = "\n".join((ended.stdout + ended.stderr).strip().splitlines()[-15:])
        raise BuildFailed(f"{' '.join(argv)} ended with {ended.returncode}\n{printed}")
    return ended.stdout


def missing_packages() -> list[str]:
    """Debian packages that the lab needs and this machine lacks."""
    lacking = {package for program, package in PACKAGES.items() if not shutil.which(program, path=SYSTEM_PATH)}
    lacking |= {package for path, package in FILES.items() if not Path(path).exists()}
    return sorted(lacking)


def install_prerequisites() -> None:
    """Install what is missing, with apt; raises MissingPrerequisite when that is not possible."""
    if os.geteuid() != 0:
        raise MissingPrerequisite("the lab needs root: it makes namespaces, bridges and file systems")
    lacking = missing_packages()
    if lacking:
        print(f"lab: installing {' '.join(lacking)}", flush=True)
        _apt_install(lacking)
    if not TUN.exists():
        TUN.parent.mkdir(exist_ok=True)
        os.mknod(TUN, 0o600 | 0o020000, os.makedev(10, 200))
    try:
        TUN.open("r+b", buffering=0).close()
    except OSError as error:
        raise MissingPrerequisite(f"{TUN} can't be opened ({error}): the machine's kernel needs tun") from error


def _apt_install(packages: list[str]) -> None:
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    try:
        try:
            call(command, timeout=300, env=env)
        except BuildFailed:  # the package lists may be old or absent
            call(["apt-get", "update"], timeout=300, env=env)
            call(command, timeout=300, env=env)
    except BuildFailed as error:
        names = " ".join(packages)
        raise MissingPrerequisite(f"install {names} by hand, apt-get could not:\n{error}") from error
