"""The User-Mode Linux kernel: Debian's own build, fetched and unpacked, never installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, debian, tools
from tests.lab.errors import BuildFailed

SUITES = ("unstable", "testing", "trixie", "bookworm")
"""Newest first: 7.2 has `seccomp=on`, which makes it 2-5 times faster; the others are the fallback."""

RECIPE = "2"
"""Changed whenever this file builds something else."""

BINARY, LIBC, ABOUT = "linux", "libc", "about.json"
LOADER = "ld-linux-x86-64.so.2"


@dataclass(frozen=True)
class Kernel:
    """A kernel ready to boot: the program, its modules, and what it can do."""

    binary: Path
    modules: Path
    version: str
    seccomp: bool


def kernel() -> Kernel:
    """The cached kernel, built when missing; raises BuildFailed when no suite has one that runs."""
    folder = cache.entry("kernel", (RECIPE, str(cache.root()), *SUITES), build)
    about = json.loads((folder / ABOUT).read_text())
    return Kernel(folder / BINARY, folder / "modules", about["version"], about["seccomp"])


Fetch = Callable[[str, Path, Path], None]
"""Puts the kernel of a suite into the first folder, which will have the name of the second in the end."""


def build(partial: Path, final: Path, *, suites: Sequence[str] = SUITES, fetch: Fetch | None = None) -> None:
    """Fetch the kernel of the first suite that has one which runs; raises BuildFailed with each one's refusal."""
    refusals: list[str] = []
    for suite in suites:
        try:
            (fetch or from_suite)(suite, partial, final)
        except BuildFailed as error:
            refusals.append(f"{suite}: {error}")
            print(f"lab: no kernel from {suite}, trying the next suite ({str(error).splitlines()[-1]})", flush=True)
            for path in partial.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        else:
            return
    raise BuildFailed("no suite has a user-mode-linux that runs here:\n" + "\n".join(refusals))


def from_suite(suite: str, partial: Path, final: Path) -> None:
    """``Fetch`` with apt; raises BuildFailed when the suite cannot be had, has no such package, or it does not run."""
    apt = debian.PrivateApt(partial / "apt", suite)
    apt.update()
    package = apt.unpack("user-mode-linux", partial / "unpacked")
    binary = partial / BINARY
    (partial / "unpacked/usr/bin/linux.uml").rename(binary)
    version = _take_modules(partial)
    options = _help(binary)
    if options is None:  # the machine's libc is older than the program wants
        apt.unpack("libc6", partial / LIBC)
        options = _bring_own_libc(binary, partial / LIBC, final / LIBC)
    if options is None:
        raise BuildFailed(f"user-mode-linux {package} does not run, with libc6 of {suite} neither")
    about = {"version": version, "seccomp": "seccomp=" in options, "package": package, "suite": suite}
    (partial / ABOUT).write_text(json.dumps(about))
    print(f"lab: kernel {version} from {suite}", flush=True)
    shutil.rmtree(partial / "apt")
    shutil.rmtree(partial / "unpacked")


def _take_modules(partial: Path) -> str:
    """Move the modules to where depmod wants them, index them, and say the kernel's version."""
    (unpacked,) = (partial / "unpacked/usr/lib/uml/modules").iterdir()
    modules = partial / "modules/lib/modules"
    modules.mkdir(parents=True)
    unpacked.rename(modules / unpacked.name)
    tools.call(["depmod", "-b", str(partial / "modules"), unpacked.name], timeout=60)
    return unpacked.name


def _help(binary: Path) -> str | None:
    """What the kernel prints about its options; None when it does not start at all."""
    try:
        ended = subprocess.run([binary, "--help"], capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return None
    return ended.stdout if "ubd" in ended.stdout else None


def _bring_own_libc(binary: Path, libc: Path, final: Path) -> str | None:
    """Point the program at a libc of its own in that libc's final place; its options, None if it can't run.

    Tried on a copy first, with the libc where it lies now: the final place does not exist yet.
    """
    libraries = next(libc.glob("**/libc.so.6")).parent
    trial = binary.with_name("trial")
    shutil.copy(binary, trial)
    _use_libc(trial, libraries)
    options = _help(trial)
    trial.unlink()
    _use_libc(binary, final / libraries.relative_to(libc))
    return options


def _use_libc(binary: Path, libraries: Path) -> None:
    loader = libraries / LOADER
    tools.call(["patchelf", "--set-interpreter", str(loader), "--set-rpath", str(libraries), str(binary)], timeout=60)
