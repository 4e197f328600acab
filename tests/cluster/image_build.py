"""`python3 -m tests.cluster.image_build`: the driver's image, by its Dockerfile, without docker or a registry.

buildah builds in a chroot on plain folders (vfs), so it needs root and no kernel feature. The base image is made of
Debian's packages and tagged with the name that the Dockerfile asks for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from csi_driver import __version__
from tests.cluster.sbom import bill_of_materials
from tests.lab import LabError, cache, debian, tools
from tests.lab.image import REPOSITORY

BASE = "docker.io/library/debian:trixie-slim"
NAME = f"localhost/clinker:{__version__}"
"""What the archive calls the image, and so what it is called in a cluster that has imported it."""
SUITE = "trixie"
MOST_BEYOND_BASE = 200 << 20
"""Bytes that the image may add to its base, unpacked."""
CONTEXT = ("Dockerfile", ".dockerignore", "requirements.lock", "pyproject.toml", "README.md", "LICENSE", "csi_driver")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MOUNTED_CERTIFICATES = "/mnt/certificates.crt"
BUILD_LIMIT = 900.0
"""Seconds for one step of the build."""
RECIPE = "1"
"""Changed whenever this file builds something else."""
SLIM = [f"--dpkgopt=path-exclude=/usr/share/{path}/*" for path in ("doc", "man", "locale", "info")]


@dataclass(frozen=True, slots=True)
class Built:
    """An image in a folder: the archive, the bill of materials, and sizes in bytes, unpacked."""

    archive: Path
    sbom: Path
    size: int
    base_size: int

    @property
    def beyond_base(self) -> int:
        return self.size - self.base_size


def image() -> Built:
    """The cached image of this working tree, built when missing; raises BuildFailed, or LabError when it is too big."""

    def build(partial: Path, _final: Path) -> None:
        install_buildah()
        context, storage = partial / "context", Storage(partial / "storage")
        _copy_context(context)
        if _digest(context) != digest:
            raise LabError("files of the image were changed while it was begun; build it again")
        try:
            _build(storage, context, partial)
        finally:
            storage.remove()
            shutil.rmtree(context)

    digest = _digest(REPOSITORY)
    folder = cache.entry("clinker-image", (RECIPE, digest), build)
    sizes = json.loads((folder / "sizes.json").read_text())
    return Built(folder / "clinker.tar", folder / "clinker.cdx.json", sizes["image"], sizes["base"])


def install_buildah() -> None:
    """Install Debian's buildah, and what the lab needs too, where they are missing."""
    tools.install_prerequisites()
    if shutil.which("buildah", path=tools.SYSTEM_PATH) is None:
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        tools.call(["apt-get", "update"], timeout=300, env=env)
        tools.call(["apt-get", "install", "--yes", "--no-install-recommends", "buildah"], timeout=300, env=env)


class Storage:
    """buildah with images and containers of its own below a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._options = ["--storage-driver=vfs", f"--root={folder}/root", f"--runroot={folder}/run"]

    def buildah(self, *arguments: str) -> str:
        """What buildah printed; raises BuildFailed with what it said."""
        env = {"BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"}
        return tools.call(["buildah", *self._options, *arguments], timeout=BUILD_LIMIT, env=env).strip()

    def tree(self, container: str) -> Path:
        """The root file system of a container."""
        return Path(self.buildah("mount", container))

    def remove(self) -> None:
        """Remove all of it. It is not kept: on vfs each cached step is a whole copy, slower than building anew."""
        self.buildah("rm", "--all")  # lets go of what is mounted
        shutil.rmtree(self._folder)


def _copy_context(target: Path) -> None:
    """What the build sees: minutes later the tree may be another one."""
    target.mkdir()
    for name in CONTEXT:
        path = REPOSITORY / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(path, target / name)


def _build(storage: Storage, context: Path, target: Path) -> None:
    base = storage.buildah("from", "scratch")
    storage.buildah("add", base, str(base_archive()), "/")
    storage.buildah("config", "--cmd", "bash", base)
    storage.buildah("commit", "--quiet", base, BASE)
    base_size = _size(storage.tree(base))
    revision = tools.call(["git", "-C", str(REPOSITORY), "rev-parse", "HEAD"], timeout=20).strip()
    storage.buildah(
        "bud",
        *("--pull-never", "--file", str(context / "Dockerfile"), "--tag", NAME),
        *("--build-arg", f"VERSION={__version__}", "--build-arg", f"REVISION={revision}"),
        # The machine's own authorities, if its registries need them; not in the place of the image's, which apt writes.
        *(f"--volume={CERTIFICATES}:{MOUNTED_CERTIFICATES}:ro", "--build-arg", f"PIP_CERT={MOUNTED_CERTIFICATES}"),
        str(context),
    )
    made = storage.buildah("from", "--pull-never", NAME)
    tree = storage.tree(made)
    (target / "sizes.json").write_text(json.dumps({"image": _size(tree), "base": base_size}))
    (target / "clinker.cdx.json").write_text(json.dumps(bill_of_materials(tree, NAME, __version__), indent=1))
    storage.buildah("push", "--quiet", NAME, f"oci-archive:{target / 'clinker.tar'}:{NAME}")


def base_archive() -> Path:
    """A minimal Debian as a cached tar archive: what the Dockerfile's base is, where there is no registry."""

    def build(partial: Path, _final: Path) -> None:
        command = ["mmdebstrap", "--variant=minbase", "--mode=root", "--aptopt=Acquire::Languages none", *SLIM]
        tools.call([*command, SUITE, str(partial / "base.tar"), debian.source_line(SUITE)], timeout=600)

    return cache.entry("image-base", (RECIPE, SUITE, *SLIM), build) / "base.tar"


def _size(tree: Path) -> int:
    """Bytes that the files take, each hard link counted once."""
    return int(tools.call(["du", "--summarize", "--bytes", str(tree)], timeout=60).split()[0])


def _digest(tree: Path) -> str:
    """Stands for everything in a tree that goes into the image."""
    whole = hashlib.sha256()
    for name in CONTEXT:
        path = tree / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                content = file.read_bytes()
                whole.update(f"{file.relative_to(tree)} {len(content)}\n".encode() + content)
    return whole.hexdigest()


def main(argv: Sequence[str] | None = None) -> None:
    """Build it, put it into a folder, say its size."""
    parser = argparse.ArgumentParser(description="The driver's image as an OCI archive.")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "image", help="folder to put it into")
    arguments = parser.parse_args(argv)
    started = time.monotonic()
    try:
        built = image()
    except (LabError, subprocess.SubprocessError) as error:
        sys.exit(f"image: {error}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    for made in (built.archive, built.sbom):
        shutil.copy(made, arguments.output)
    print(f"image: {NAME} in {time.monotonic() - started:.0f} s: {arguments.output / built.archive.name}")
    print(f"  unpacked {_mib(built.size)}, {_mib(built.beyond_base)} beyond its base (limit {_mib(MOST_BEYOND_BASE)})")
    print(f"  bill of materials: {arguments.output / built.sbom.name}")
    if built.beyond_base > MOST_BEYOND_BASE:
        sys.exit("image: too big")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.0f} MiB"


if __name__ == "__main__":
    main()
