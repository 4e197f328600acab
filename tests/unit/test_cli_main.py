"""The command line: what it offers, what it says when it cannot, and what its log lines look like."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pytest

from csi_driver import __version__
from csi_driver.cli.main import main
from csi_driver.kit.run import Command, HostRunner
from csi_driver.wiring import logs

ROOT = Path(__file__).resolve().parents[2]


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"clinker {__version__} (csi.clinker.io)\n"


@pytest.mark.parametrize(
    "words",
    [[], ["controller"], ["node"], ["standalone"], ["pki"], ["pki", "ca"], ["pki", "issue"], ["version"]],
    ids=" ".join,
)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*words, "--help"])
    assert caught.value.code == 0
    assert "usage: clinker" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [[], ["controller"], ["pki"], ["dance"], ["pki", "ca", "--folder", "x", "--days", "0"]]
)
def test_a_command_line_that_makes_no_sense(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: clinker" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("= 1", "settings.toml: Invalid"),
        ('log_format = "xml"', "log_format is one of text, json"),
        ('log_level = "loud"', "log_level of debug, info"),
        ("", "a controller needs"),
        ('endpoint = "tcp://x:1"', "a controller needs"),
    ],
)
def test_settings_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(text)
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        assert main(["controller", "--config", str(path)]) == 1
    finally:
        root.handlers = before
        root.setLevel(level)
    told = capsys.readouterr().err
    assert told.startswith("clinker: ")
    assert words in told


async def test_a_process_from_its_start_to_its_signal(tmp_path: Path) -> None:
    """A real one: it serves its socket, speaks JSON, and ends well when it is told to."""
    folder = tmp_path / "pki"
    assert main(["pki", "ca", "--folder", str(folder)]) == 0
    assert main(["pki", "issue", "--folder", str(folder), "--role", "controller"]) == 0
    socket = tmp_path / "csi.sock"
    path = tmp_path / "settings.toml"
    path.write_text(
        f'endpoint = "unix://{socket}"\nlog_format = "json"\n'
        f'[controller.tls]\nca = "{folder}/ca.crt"\n'
        f'certificate = "{folder}/controller.crt"\nkey = "{folder}/controller.key"\n'
        '[[controller.agents]]\nnode = "n1"\naddress = "127.0.0.1:1"\n'
    )
    code = f"""
import os, pathlib, signal, sys, threading, time
from csi_driver.cli.main import main
def end():
    while not pathlib.Path({str(socket)!r}).exists():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=end, daemon=True).start()
sys.exit(main(sys.argv[1:]))
"""
    argv = (sys.executable, "-c", code, "controller", "--config", str(path))
    told = (await HostRunner(environment={"PYTHONPATH": str(ROOT)}).run(Command(argv=argv, timeout=20))).stderr
    events = [json.loads(line)["event"] for line in told.splitlines()]
    assert events[0] == "ready"
    assert events[-1] == "stopped"
    assert not socket.exists()


# -- log lines


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord(
        {"msg": "volume %s", "args": ("grown",), "levelname": "INFO", "created": 0.5, "name": "x"}
    )
    made.__dict__.update(extra)
    return made


def test_a_line_for_people() -> None:
    line = logs.TextFormatter().format(record(volume="vol-1", size=5, why="no room", empty="", odd="a\nb"))
    assert line == (
        '1970-01-01T00:00:00.500Z INFO    volume grown volume=vol-1 size=5 why="no room" empty="" odd="a\\nb"'
    )


def test_a_line_for_machines() -> None:
    line = logs.JsonFormatter().format(record(volume="vol-1", path=Path("/x"), odd="a\nb"))
    assert json.loads(line) == {
        "time": "1970-01-01T00:00:00.500Z",
        "level": "info",
        "logger": "x",
        "event": "volume grown",
        "volume": "vol-1",
        "path": "/x",
        "odd": "a\nb",
    }
    assert "\n" not in line


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_a_trace_is_kept(formatter: logging.Formatter) -> None:
    error = ZeroDivisionError("oops")
    line = formatter.format(record(exc_info=(type(error), error, None)))
    assert "ZeroDivisionError: oops" in line
