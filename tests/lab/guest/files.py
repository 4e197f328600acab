"""Files into a guest and out of it."""

from __future__ import annotations

import io
import shutil
import socket
import tarfile
from pathlib import Path

from tests.lab.guest import wire

Reply = tuple[wire.Header, list[bytes]]


def put(header: wire.Header, blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Write a file as a whole: a reader sees the old content or the new."""
    path = Path(header["path"])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.lab")
    fresh.write_bytes(blobs[0])
    fresh.chmod(header["mode"])
    fresh.replace(path)
    return {}, []


def get(header: wire.Header, _blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Read a file, also one of /proc or /sys."""
    return {}, [Path(header["path"]).read_bytes()]


def put_tree(header: wire.Header, blobs: list[bytes], _caller: socket.socket) -> Reply:
    """Put the tree of a tar archive in place of the folder; nothing of the old one stays."""
    folder = Path(header["path"])
    fresh, old = (folder.with_name(f".{folder.name}.{end}") for end in ("new", "old"))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    fresh.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(blobs[0])) as archive:
        archive.extractall(fresh, filter="tar")
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
    return {}, []
