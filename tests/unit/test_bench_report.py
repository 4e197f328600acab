from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.bench.figures import CREATE_THIN_EXT4, FIGURES, IDLE_FORKS, RSS_NODE, Measured, UnknownFigure, select
from tests.bench.report import as_json, table, write
from tests.bench.samples import Arm, Timings, interleave
from tests.bench.tracing import read_trace

RESULTS = (
    Measured(figure=CREATE_THIN_EXT4, value=1.0049, n=10, notes=("bare: 300 ms",)),
    Measured(figure=RSS_NODE, value=58.26, n=1),
    Measured(figure=IDLE_FORKS, value=0, n=1),
)


def test_all_figures_or_those_named_in_their_usual_order() -> None:
    assert select("") == FIGURES
    assert select("idle_forks, create_thin_ext4") == (CREATE_THIN_EXT4, IDLE_FORKS)
    with pytest.raises(UnknownFigure, match="no nosuch"):
        select("rss_node,nosuch")


def test_json_has_the_agreed_form_and_judges_the_exact_value() -> None:
    assert as_json(RESULTS) == {
        "create_thin_ext4": {"value": 1.0, "aim": 1.0, "unit": "ratio", "ok": False, "n": 10},
        "rss_node": {"value": 58.3, "aim": 60, "unit": "MiB", "ok": True, "n": 1},
        "idle_forks": {"value": 0, "aim": 0, "unit": "per minute", "ok": True, "n": 1},
    }


def test_json_replaces_what_an_earlier_run_left(tmp_path: Path) -> None:
    path = tmp_path / "build" / "bench.json"
    write(RESULTS, path)
    write(RESULTS[1:2], path)
    assert list(json.loads(path.read_text())) == ["rss_node"]


def test_table_shows_what_does_not_hold_and_the_notes() -> None:
    lines = table(RESULTS).splitlines()
    assert lines[0].split() == ["key", "value", "aim", "holds", "unit", "n"]
    assert lines[1].split() == ["create_thin_ext4", "1.00", "<=", "1", "NO", "ratio", "10"]
    assert "issue 4 aims at 0.6" in lines[2]
    assert lines[3].strip() == "bare: 300 ms"
    assert "yes" in lines[4].split()


def test_arms_take_turns_and_the_first_round_is_not_counted() -> None:
    now, done = 0.0, []

    def arm(name: str, seconds: float) -> Arm:
        def act(number: int) -> None:
            nonlocal now
            now += seconds if number else 100
            done.append(name)

        return Arm(act, lambda _: done.append(f"-{name}"))

    times = interleave({"a": arm("a", 1), "b": arm("b", 4)}, 2, clock=lambda: now)
    assert done == ["a", "-a", "b", "-b", "b", "-b", "a", "-a", "a", "-a", "b", "-b"]
    assert times.seconds == {"a": (1, 1), "b": (4, 4)}


def test_the_ratio_is_of_medians() -> None:
    times = Timings({"ours": (0.1, 0.2, 9.0), "bare": (0.4, 0.1, 0.5)})
    assert times.ratio("ours", "bare") == pytest.approx(0.5)
    assert times.show("ours") == "200 ms (100 to 9000)"


def test_processes_count_and_threads_and_failures_do_not() -> None:
    seen = read_trace(
        [
            "41 clone3({flags=CLONE_VM|CLONE_FS|CLONE_THREAD, exit_signal=0} => {parent_tid=[9]}, 88) = 9",
            "41 vfork( <unfinished ...>",
            '42 execve("/usr/local/sbin/iscsiadm", ["iscsiadm", "-m"], 0x1 /* 5 vars */) = -1 ENOENT (No such file)',
            '42 execve("/usr/sbin/iscsiadm", ["iscsiadm", "-m"], 0x1 /* 5 vars */) = 0',
            "41 <... vfork resumed>) = 42",
            "42 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 43",
            "41 vfork() = ? ERESTARTNOINTR (To be restarted)",
            "41 vfork() = 44",
            "41 fork( <unfinished ...>",
            "41 <... fork resumed>) = -1 EAGAIN (Resource temporarily unavailable)",
        ]
    )
    assert (seen.started, seen.programs) == (3, ("/usr/sbin/iscsiadm",))


def test_an_empty_trace_is_no_process() -> None:
    assert read_trace([]).started == 0
