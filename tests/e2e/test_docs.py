"""docs/first-volume.md works when it is typed in: its manifests and its commands, in their order."""

from __future__ import annotations

import re
import shlex
import subprocess  # noqa: TID251  # a reader's shell
from pathlib import Path

from tests.cluster.cluster import Cluster
from tests.e2e.install import TOP
from tests.e2e.user import User

PAGE = TOP / "docs" / "first-volume.md"
PATIENCE = 240.0
"""Seconds for one command."""


def test_the_first_volume_is_made_as_its_page_says(cluster: Cluster, user: User, tmp_path: Path) -> None:
    text = PAGE.read_text()
    [manifests] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "first-volume.yaml").write_text(manifests)
    commands = re.findall(r"^    (kubectl .*)$", text, re.MULTILINE)
    assert len(commands) > 5
    printed = [typed(cluster, user, command, tmp_path) for command in commands]
    assert any(re.search(r"^\w{3} \w{3} .* UTC \d{4}$", each, re.MULTILINE) for each in printed)  # what `date` wrote
    assert printed[-1].count("deleted") == 2


def typed(cluster: Cluster, user: User, command: str, folder: Path) -> str:
    """What a shell prints whose kubectl speaks to this cluster, by default in the user's namespace."""
    kubectl = folder / "bin" / "kubectl"
    kubectl.parent.mkdir(exist_ok=True)
    script = shlex.join([str(cluster.places.kubectl), f"--namespace={user.namespace}"])
    kubectl.write_text(f'#!/bin/sh\nexec {script} "$@"\n')
    kubectl.chmod(0o755)
    done = subprocess.run(
        ["sh", "-ec", f'PATH="{kubectl.parent}:$PATH"; {command}'],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout
