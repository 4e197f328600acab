"""The controller's key that it makes for itself, and where it lies for this process: in memory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import csi_driver
from csi_driver.kit.run import Command, HostRunner
from csi_driver.kube.keys import Keys, Pair
from csi_driver.settings import TlsSettings

DAYS = 365


async def make_pair(folder: Path) -> Pair:
    """A certificate of a CA that signs nothing else: its key is removed at once. Raises CommandFailed.

    By short-lived commands: the library that does it is not to stay in this process's memory.
    """
    _clear(folder)
    try:
        for verb in (("ca",), ("issue", "--role", "controller")):
            await _pki(*verb, "--folder", str(folder), "--days", str(DAYS))
        return _read(folder)
    finally:
        _clear(folder)


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _read(folder: Path) -> Pair:
    ca, certificate, key = ((folder / name).read_bytes() for name in ("ca.crt", "controller.crt", "controller.key"))
    return Pair(ca=ca, certificate=certificate, key=key)


def put(tls: TlsSettings, keys: Keys) -> None:
    """Where connections to agents read them; those that are made from now on use these."""
    for path, content in ((tls.ca, keys.bundle), (tls.key, keys.pair.key), (tls.certificate, keys.pair.certificate)):
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(path.name + ".new")
        aside.unlink(missing_ok=True)
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        aside.replace(path)


async def _pki(*arguments: str) -> None:
    packages = str(Path(csi_driver.__file__).parent.parent)
    argv = (sys.executable, "-P", "-m", "csi_driver", "pki", *arguments)
    await HostRunner(environment={"PYTHONPATH": packages}).run(Command(argv=argv))
