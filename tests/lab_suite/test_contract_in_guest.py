"""The contract suites against the real doors, inside a test host: the doors use the kernel they run on."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import GIB, MIB, Host, HostSpec, Lab

TOP = Path(__file__).parents[2]
SOURCE, RUNNER = "/opt/clinker/src", "/opt/clinker/pytest"
DISTRIBUTIONS = ("pytest", "pytest-asyncio", "pluggy", "iniconfig", "packaging", "pygments")
"""Pure Python, hence good for the host's Python too."""
SETUP = (
    ("vgcreate", "--yes", "vg0", "/dev/ubdb"),
    ("vgcreate", "--yes", "vg1", "/dev/ubdc", "/dev/ubdd", "/dev/ubde", "/dev/ubdf"),
    ("lvcreate", "--yes", "--type", "thin-pool", "-L", "1g", "-c", "64k", "-n", "pool", "vg0"),
)
SUITES = sorted(str(path.relative_to(TOP)) for path in (TOP / "tests" / "contract").rglob("test_*.py"))


def copy_runner(target: Path) -> Path:
    """The pytest that runs here, for the host."""
    for name in DISTRIBUTIONS:
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or ():
            if ".." in file.parts or "__pycache__" in file.parts:
                continue
            place = target / file
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(distribution.locate_file(file)), place)
    return target


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with Lab([HostSpec("host1", (4 * GIB, *(4 * (256 * MIB,))))]) as lab:
        host = lab.host("host1")
        for argv in SETUP:
            host.run(argv)
        host.install_driver()
        host.put_tree(TOP / "tests" / "contract", f"{SOURCE}/tests/contract")
        host.put(f"{SOURCE}/tests/__init__.py", "")
        host.put(f"{SOURCE}/pyproject.toml", (TOP / "pyproject.toml").read_bytes())
        host.put_tree(copy_runner(tmp_path_factory.mktemp("runner")), RUNNER)
        yield host


@pytest.mark.parametrize("suite", SUITES)
def test_the_real_doors_keep_the_contract(host: Host, suite: str) -> None:
    command = f"cd {SOURCE} && exec python3 -m pytest {suite} --real -v -s --durations=5 -p no:cacheprovider"
    done = host.run(
        ["sh", "-c", command],
        env={"PYTHONPATH": f"{SOURCE}:{RUNNER}:/opt/clinker/site-packages"},
        timeout=420,
        check=False,
    )
    print(done.stdout)
    assert done.rc == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert re.search(r"\d+ passed", done.stdout.splitlines()[-1]), done.stdout[-2000:]
    assert "skipped" not in done.stdout.splitlines()[-1]
