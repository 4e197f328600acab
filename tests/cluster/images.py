"""OCI images made from files: no registry, no build tool (OCI image specification 1.1, image-layout.md)."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster import binaries
from tests.cluster.places import PAUSE_IMAGE
from tests.cluster.runtime import runtime
from tests.gotools.build import pinned_version
from tests.lab import cache

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
SIDECAR_REGISTRY = "registry.k8s.io/sig-storage"
BUSYBOX_IMAGES = ("docker.io/library/busybox:1.36", "docker.io/library/busybox:latest")
RECIPE = "1"
"""Changed whenever this file builds something else."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image of one layer. Paths are absolute; a file is a file of the machine or its content."""

    names: tuple[str, ...]
    files: Mapping[str, Path | bytes]
    links: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[str, int] = field(default_factory=dict)
    """Modes by path, of folders that are empty or not 0755."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""

    def write(self, archive: Path) -> None:
        """Write it as an OCI archive; the same parts give the same bytes."""
        layer = archive.with_name(f"{archive.name}.layer")
        try:
            self._write_layer(layer)
            with tarfile.open(archive, "w") as tar:
                self._write_layout(tar, layer)
        finally:
            layer.unlink(missing_ok=True)

    def _write_layer(self, layer: Path) -> None:
        with tarfile.open(layer, "w") as tar:
            for path, mode in sorted({**dict.fromkeys(self._parents(), 0o755), **self.folders}.items()):
                member = _member(path, mode)
                member.type = tarfile.DIRTYPE
                tar.addfile(member)
            for path, content in sorted(self.files.items()):
                _add_file(tar, path, content)
            for path, target in sorted(self.links.items()):
                member = _member(path, 0o777)
                member.type, member.linkname = tarfile.SYMTYPE, target
                tar.addfile(member)

    def _write_layout(self, tar: tarfile.TarFile, layer: Path) -> None:
        with layer.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        config = _json(self._config(digest))
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _descriptor("application/vnd.oci.image.config.v1+json", config),
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": f"sha256:{digest}",
                        "size": layer.stat().st_size,
                    }
                ],
            }
        )
        _add_file(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add_file(tar, "index.json", _json(self._index(manifest)))
        for blob in (config, manifest):
            _add_file(tar, f"blobs/sha256/{hashlib.sha256(blob).hexdigest()}", blob)
        _add_file(tar, f"blobs/sha256/{digest}", layer)

    def _config(self, layer: str) -> dict[str, object]:
        run = {"Env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], "User": self.user}
        run |= {"Entrypoint": list(self.entrypoint), "Cmd": list(self.command)}
        return {
            "os": "linux",
            "architecture": architecture(),
            "config": {key: value for key, value in run.items() if value},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer}"]},
        }

    def _index(self, manifest: bytes) -> dict[str, object]:
        described = _descriptor("application/vnd.oci.image.manifest.v1+json", manifest)
        entries = [{**described, "annotations": {"io.containerd.image.name": name}} for name in self.names]
        return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": entries}

    def _parents(self) -> set[str]:
        paths = [*self.files, *self.links, *self.folders]
        return {str(parent) for path in paths for parent in Path(path).parents} - {"/", "."}


def architecture() -> str:
    """The machine's, as images name it."""
    return ARCHITECTURES[platform.machine()]


def archive(image: Image) -> Path:
    """The image as a cached OCI archive, written when missing."""
    parts = [RECIPE, *image.names, *image.entrypoint, *image.command, image.user, architecture()]
    parts += [f"{path} {_fingerprint(content)}" for path, content in sorted(image.files.items())]
    parts += [f"{path} -> {target}" for path, target in sorted(image.links.items())]
    parts += [f"{path} {mode:o}" for path, mode in sorted(image.folders.items())]

    def build(partial: Path, _final: Path) -> None:
        image.write(partial / "image.tar")

    return cache.entry("oci", tuple(parts), build) / "image.tar"


def pause() -> Image:
    """What holds a pod's namespaces: it sleeps."""
    return Image((PAUSE_IMAGE,), {"/bin/sleep": _busybox()}, entrypoint=("/bin/sleep", "2147483647"))


def busybox() -> Image:
    """A shell and every applet, for test pods."""
    program = _busybox()
    listed = subprocess.run([program, "--list"], capture_output=True, text=True, check=True, timeout=20)
    links = {f"/bin/{name}": "busybox" for name in listed.stdout.split() if name != "busybox"}
    passwd = b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
    files: dict[str, Path | bytes] = {"/bin/busybox": program, "/etc/passwd": passwd}
    folders = {"/tmp": 0o1777, "/root": 0o700, "/mnt": 0o755, "/data": 0o755}
    return Image(BUSYBOX_IMAGES, files, links, folders, command=("sh",))


def sidecar(program: binaries.Program) -> Image:
    """A CSI sidecar under the name that its project publishes it as, and by its user (nonroot)."""
    name = f"{SIDECAR_REGISTRY}/{program.name}:{pinned_version(binaries.MODULES / program.module, program.versioned)}"
    path = f"/{program.name}"
    return Image((name,), {path: binaries.program(program)}, entrypoint=(path,), user="65532:65532")


def _busybox() -> Path:
    return runtime() / "usr/bin/busybox"


def _fingerprint(content: Path | bytes) -> str:
    """Stands for a file: cached files never change under their names."""
    return str(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


def _member(path: str, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(path.lstrip("/"))
    member.mode = mode
    return member


def _add_file(tar: tarfile.TarFile, path: str, content: Path | bytes) -> None:
    member = _member(path, 0o755 if isinstance(content, Path) else 0o644)
    if isinstance(content, bytes):
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
        return
    member.size = content.stat().st_size
    with content.open("rb") as opened:
        tar.addfile(member, opened)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": f"sha256:{hashlib.sha256(blob).hexdigest()}", "size": len(blob)}
