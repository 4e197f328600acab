"""What files the checkout has."""

import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


def tracked(*patterns: str) -> list[str]:
    """Paths of files that are in git, or would be after `git add --all`."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=True).stdout
    return sorted(name for name in set(listed.split("\0")) if name and (TOP / name).is_file())
