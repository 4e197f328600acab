"""However a lab ends, nothing of it stays: no process, no network namespace, no file."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import MIB, HostSpec, Lab, LabError
from tests.lab.fixtures import LabFactory, hosts, lab_factory
from tests.lab.image import REPOSITORY
from tests.lab.waiting import eventually

HOLDER = """
import signal, sys, time
from tests.lab import Lab, HostSpec
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would we
with Lab([HostSpec("held")], name=sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def _leftovers(name: str) -> list[str]:
    """Processes, network namespaces and files of a lab; the folder's name is in all its processes' arguments."""
    folder = f"clinker-lab-{name}"
    found = [str(path) for path in Path("/dev/shm").glob(f"{folder}*")]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if folder.encode() in (process / "cmdline").read_bytes():
                found.append(str(process))
    return found


def _namespaces() -> set[str]:
    """Network namespaces that any process is in."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.add(str((process / "ns/net").readlink()))
    return found


def _network_of(lab: Lab) -> str:
    net = next(word for word in lab.network_command([]) if word.startswith("--net="))
    return str(Path(net.removeprefix("--net=")).readlink())


@contextlib.contextmanager
def _holder(name: str) -> Iterator[subprocess.Popen[str]]:
    """A child process that holds a lab until it is ended."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, name],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout is not None
        try:
            assert any(line == "held\n" for line in child.stdout)
            yield child
        finally:
            child.kill()


pytest_fixtures = (lab_factory,)  # imported by name: pytest finds them in this module


class TestNothingIsLeft:
    def test_factory_gives_labs_that_end_with_the_test(self, lab_factory: LabFactory) -> None:
        labs = [lab_factory(hosts(1)), lab_factory(hosts(2, MIB))]
        assert [len(lab.hosts) for lab in labs] == [1, 2]
        assert labs[1].host("host2").run(["blockdev", "--getsize64", "/dev/ubdb"]).stdout == f"{MIB}\n"

    def test_two_labs_at_once(self) -> None:
        with Lab([HostSpec("host1")]) as first:
            one = first.host("host1")
            with Lab([HostSpec("host1", (64 * MIB,))]) as second:
                other, namespace = second.host("host1"), _network_of(second)
                assert other.address == one.address
                other.put("/root/other", b"")
                assert one.run(["test", "-e", "/root/other"], check=False).rc == 1
                assert _leftovers(second.name)
                assert namespace in _namespaces()
                with pytest.raises(LabError, match="up already"):
                    Lab([HostSpec("host1")], name=second.name).up()
            assert not _leftovers(second.name)
            assert namespace not in _namespaces()
            one.run(["true"])

    def test_after_an_exception(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CLINKER_LAB_KEEP_LOGS", "0")
        lab = Lab([HostSpec("host1")])
        with pytest.raises(RuntimeError, match="on purpose"), lab:
            raise RuntimeError("on purpose")
        assert not _leftovers(lab.name)

    def test_logs_are_kept_where_asked(self, tmp_path: Path) -> None:
        with Lab([HostSpec("host1")], log_dir=tmp_path / "logs") as lab:
            lab.host("host1").spawn(["echo", "noted"], name="note").wait()
        assert (tmp_path / "logs/host1/note.log").read_text() == "noted\n"
        assert "udevd" in (tmp_path / "logs/host1/console.log").read_text()

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    def test_after_the_end_of_its_owner(self, number: signal.Signals) -> None:
        name = f"held-{number.name.lower()}-{os.getpid()}"
        with _holder(name) as child:
            namespace = _network_of(Lab.attach(name))
            assert namespace in _namespaces()
            child.send_signal(number)
            child.wait(30)
        eventually(lambda: not _leftovers(name))
        assert namespace not in _namespaces()

    def test_after_the_end_of_its_supervisor(self) -> None:
        name = f"headless-{os.getpid()}"
        with _holder(name) as child:
            lab = Lab.attach(name)
            net = next(word for word in lab.network_command([]) if word.startswith("--net="))
            os.kill(int(net.split("/")[2]), signal.SIGKILL)
            child.kill()
            child.wait(30)
            eventually(lambda: len(_leftovers(name)) <= 1)  # no process any more, only the folder
        Lab.sweep()
        eventually(lambda: not _leftovers(name))  # any other lab that comes up sweeps too

    def test_detached_lab_outlives_its_maker(self) -> None:
        """As ``make`` offers it to people."""
        name = f"stays-{os.getpid()}"
        _make("lab", name, "ARGS=--hosts 2 --disks 64M")
        try:
            assert name not in Lab.sweep()
            assert _make("lab-run", name, "HOST=host2", "ARGS=cat /etc/hostname") == "host2\n"
            typed = "hostname; echo $((6 * 7))\nexit\n"
            shown = _make("lab-shell", name, "HOST=host2", typed=typed)
            assert "host2" in shown
            assert "42" in shown
        finally:
            _make("lab-down", name)
        assert not _leftovers(name)


def _make(target: str, lab: str, *words: str, typed: str = "") -> str:
    command = ["make", target, f"LAB={lab}", *words]
    done = subprocess.run(command, cwd=REPOSITORY, input=typed, timeout=120, check=True, capture_output=True, text=True)
    return done.stdout
