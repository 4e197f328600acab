"""The disk image that hosts boot from: root file system, kernel modules, the driver's Python packages."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from tests.lab import cache, lock, tools
from tests.lab.errors import BuildFailed, MissingPrerequisite
from tests.lab.kernel import Kernel
from tests.lab.rootfs import PYTHON, rootfs
from tests.lab.spec import ImageSpec

REPOSITORY = Path(__file__).parents[2]
LOCK = REPOSITORY / "requirements.lock"
DRIVER = "/opt/clinker/src"
PACKAGES = "/opt/clinker/site-packages"
SIZE = "3G"
EAGER = ("-E", "lazy_itable_init=0,lazy_journal_init=0")
"""Nothing is left for each host's kernel to initialise in the background."""
RECIPE = "3"
"""Changed whenever this file builds something else."""

PLATFORMS = tuple(f"manylinux_2_{minor}_x86_64" for minor in (39, 34, 31, 28, 27, 26, 24, 17))
"""What Debian 13's glibc (2.41) can load."""

FIRST_INIT = """#!/bin/sh
mount -t proc proc /proc
mkdir -p /host
mount -t hostfs -o hostfs="$lab_share" none /host
exec /bin/sh /host/boot/init.sh
"""

CLINKER = f"""#!/bin/sh
PYTHONPATH={DRIVER}:{PACKAGES} exec python3 -m csi_driver "$@"
"""


def image(spec: ImageSpec, kernel: Kernel) -> Path:
    """The cached image, built when missing; never change it: hosts lie copy-on-write over it."""
    tree = rootfs(spec.extra_packages)
    packages = site_packages()

    def build(partial: Path, _final: Path) -> None:
        _compose(tree, packages, kernel, partial)

    parts = (RECIPE, FIRST_INIT, CLINKER, SIZE, str(tree), str(packages), str(kernel.modules))
    return cache.entry("image", parts, build) / "base.img"


def site_packages() -> Path | None:
    """The driver's dependencies for the guest's Python, by the repository's lock; None without a lock."""
    if not LOCK.exists():
        return None
    text = LOCK.read_text()

    def build(partial: Path, _final: Path) -> None:
        wanted = partial / "requirements.txt"
        wanted.write_text(lock.applicable(text, lock.environment(PYTHON)))
        tools.call(_pip(wanted, partial / "packages"), timeout=300)

    version = ".".join(map(str, PYTHON))
    parts = (RECIPE, version, *PLATFORMS, hashlib.sha256(text.encode()).hexdigest())
    return cache.entry("site-packages", parts, build) / "packages"


def _pip(requirements: Path, target: Path) -> list[str]:
    return [
        *_python_with_pip(),
        *("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"),
        *("--target", str(target), "--requirement", str(requirements)),
        *("--require-hashes", "--no-deps", "--only-binary", ":all:"),
        *("--implementation", "cp", "--python-version", ".".join(map(str, PYTHON))),
        *(word for platform in PLATFORMS for word in ("--platform", platform)),
    ]


def _python_with_pip() -> list[str]:
    """The running Python if it has pip, else the machine's; raises MissingPrerequisite when neither has."""
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable]
    machine = shutil.which("python3", path=tools.SYSTEM_PATH)
    asked = [machine or "false", "-m", "pip", "--version"]
    if machine is None or subprocess.run(asked, capture_output=True, check=False, timeout=60).returncode != 0:
        raise MissingPrerequisite(f"neither {sys.executable} nor the machine has pip: apt-get install python3-pip")
    return [machine]


def _compose(tree: Path, packages: Path | None, kernel: Kernel, partial: Path) -> None:
    """Lay the parts together by hard links (only new files are written), then make the image of it."""
    stage = partial / "stage"
    tools.call(["cp", "-al", str(tree), str(stage)], timeout=120)
    modules = stage / "usr/lib/modules"
    modules.mkdir(parents=True, exist_ok=True)
    tools.call(["cp", "-al", str(kernel.modules / "lib/modules" / kernel.version), str(modules)], timeout=120)
    (stage / DRIVER.lstrip("/")).mkdir(parents=True)
    if packages is not None:
        tools.call(["cp", "-a", str(packages), str(stage / PACKAGES.lstrip("/"))], timeout=120)
        _compile(stage)
    _script(stage / "usr/sbin/labinit", FIRST_INIT)
    _script(stage / "usr/local/bin/clinker", CLINKER)
    target = str(partial / "base.img")
    tools.call(["mke2fs", "-q", "-t", "ext4", "-J", "size=16", *EAGER, "-d", str(stage), target, SIZE], timeout=300)
    tools.call(["rm", "-rf", str(stage)], timeout=120)


def _compile(stage: Path) -> None:
    """Compile with the guest's own Python, so that no host does it at its first start."""
    python = f"python{PYTHON[0]}.{PYTHON[1]}"
    command = [python, "-m", "compileall", "-q", "-j", "0", PACKAGES]
    try:
        tools.call(["chroot", str(stage), *command], timeout=300)
    except BuildFailed as error:  # a package may carry files for other Pythons; they are never imported
        print(f"lab: not all of {PACKAGES} could be compiled ({str(error).splitlines()[0]})", flush=True)


def _script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
