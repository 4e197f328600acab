"""Refuses files that name a package registry's host or a path of this machine.

Both belong to the machine's settings, which are read here to know what to look for.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.checkout import TOP, tracked

HOST = re.compile(r"https?://(?:[^@/\s]*@)?([^/:\s\"'|,]+)")
LOCAL = re.compile(r"localhost$|127\.")
APT_SOURCES = ("sources.list", "sources.list.d/*.list", "sources.list.d/*.sources")
ASK = (["pip", "config", "list"], ["go", "env", "GOPROXY"], ["npm", "config", "get", "registry"])
# A checkout may lie right below one of these, which anyone may name.
EVERYWHERE = {"/", "/build", "/home", "/mnt", "/opt", "/root", "/run", "/srv", "/tmp", "/usr/src", "/var/tmp"}  # noqa: S108


def main() -> None:
    words = sorted(registry_hosts()) + machine_paths(TOP)
    complaints = [
        f"{name}:{number}: names {word}, which belongs to this machine's settings"
        for name in tracked()
        for number, line in enumerate(text_of(TOP / name).splitlines(), 1)
        for word in words
        if word in line
    ]
    if complaints:
        sys.exit("\n".join(complaints))


def registry_hosts() -> set[str]:
    """Hosts that pip, Go, npm and apt are set up to ask."""
    texts = [answer(command) for command in ASK]
    texts += [path.read_text() for pattern in APT_SOURCES for path in Path("/etc/apt").glob(pattern)]
    return {host for text in texts for host in HOST.findall(text) if not LOCAL.match(host)}


def answer(command: list[str]) -> str:
    """What the tool says, or nothing where the machine does not have it."""
    if command[0] == "pip":
        command = [sys.executable, "-m", *command]
    elif not shutil.which(command[0]):
        return ""
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False).stdout


def machine_paths(top: Path) -> list[str]:
    return [] if str(top.parent) in EVERYWHERE else [f"{top.parent}/"]


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")


if __name__ == "__main__":
    main()
