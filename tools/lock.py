"""Writes requirements.lock and requirements-dev.lock from pyproject.toml: names, versions, hashes.

The package index is the one that pip is set up to use on this machine, and its address stays out of the locks.
`--upgrade` takes the newest versions allowed; without it, what is locked stays.
"""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
COMPILE = [
    "uv", "pip", "compile", "pyproject.toml", "--quiet",
    "--universal", "--python-version=3.11", "--generate-hashes", "--only-binary=:all:",
    "--no-emit-index-url", "--no-emit-find-links", "--no-header",
]  # fmt: skip


def main() -> None:
    upgrade = ["--upgrade"] if "--upgrade" in sys.argv[1:] else []
    env = {**os.environ, **index_of(pip_settings())}
    compile_lock("requirements.lock", upgrade, env=env)
    same_runtime = "--constraints=requirements.lock"
    compile_lock("requirements-dev.lock", ["--group=dev", same_runtime, *upgrade], env=env)


def compile_lock(name: str, options: list[str], *, env: dict[str, str]) -> None:
    uv = str(Path(sys.executable).parent / COMPILE[0])
    command = [uv, *COMPILE[1:], *options, f"--output-file={name}"]
    if subprocess.run(command, cwd=TOP, env=env, stdout=subprocess.DEVNULL, check=False).returncode:
        sys.exit(f"could not write {name}")
    print(f"{name}: {sum('==' in line for line in (TOP / name).read_text().splitlines())} packages")


def pip_settings() -> dict[str, str]:
    """What pip's files and environment say, by the bare name of the setting; the environment wins."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in sorted(listed.splitlines(), key=lambda line: line.startswith(":env:")):
        key, _, value = line.partition("=")
        settings[key.rpartition(".")[2]] = value.strip("'\"")
    return settings


def index_of(pip: dict[str, str]) -> dict[str, str]:
    """The same settings in uv's words. What is already set for uv itself stays."""
    words = {
        "UV_DEFAULT_INDEX": pip.get("index-url", ""),
        "UV_INDEX": " ".join(pip.get("extra-index-url", "").replace("\\n", " ").split()),
        "UV_FIND_LINKS": ",".join(pip.get("find-links", "").replace("\\n", " ").split()),
        "SSL_CERT_FILE": pip.get("cert", ""),
    }
    return {name: value for name, value in words.items() if value and name not in os.environ}


if __name__ == "__main__":
    main()
