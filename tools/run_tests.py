"""Runs test suites one after the other, each in a pytest of its own, and sums up.

All of them run, whatever fails. A suite that collects nothing, skips a test or runs out of time has failed: a
missing prerequisite is an error. The last line printed is the plain sum, `N passed, N failed`.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

TOP = Path(__file__).resolve().parent.parent
REPORTS = TOP / "build" / "junit"
SUITES = {
    "unit": "tests/unit",
    "driver": "tests/driver",
    "contract": "tests/contract",
    "lab": "tests/lab_suite",
    "sanity": "tests/sanity",
    "kube": "tests/kube",
    "cluster": "tests/cluster",
    "e2e": "tests/e2e",
}
WORKERS = {"lab": 2}
"""How many pytest processes share the files of a suite. Hosts of the lab mostly wait, for disks, for each other and for
time limits, and a lab is closed off from every other: two at once take little longer than one."""
SUITE_MINUTES = 30.0
CLEAN_UP_SECONDS = 90.0


@dataclass(frozen=True)
class Outcome:
    """How one suite went. Every test is in `passed` or `failed`; `trouble` says what no test tells."""

    suite: str
    passed: int
    failed: int
    minutes: float
    trouble: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="+", choices=SUITES)
    options, pytest_arguments = parser.parse_known_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    shutil.rmtree(REPORTS, ignore_errors=True)
    REPORTS.mkdir(parents=True)
    outcomes = [run(suite, pytest_arguments) for suite in options.suites]
    print("\n" + "\n".join(map(describe, outcomes)))
    print(f"{sum(o.passed for o in outcomes)} passed, {sum(o.failed for o in outcomes)} failed", flush=True)
    sys.exit(any(outcome.failed for outcome in outcomes))


def run(suite: str, pytest_arguments: list[str]) -> Outcome:
    print(f"\n=== {suite} ({SUITES[suite]}) ===", flush=True)
    report = REPORTS / f"{suite}.xml"
    workers = (f"--numprocesses={WORKERS[suite]}", "--dist=loadfile") if suite in WORKERS else ()
    command = [sys.executable, "-m", "pytest", SUITES[suite], f"--junitxml={report}", *workers, *pytest_arguments]
    start = time.monotonic()
    code = run_pytest(command)
    return judge(suite, code, report, minutes=(time.monotonic() - start) / 60)


def run_pytest(command: list[str]) -> int | None:
    """The exit code; None when the time was up.

    Whoever ends us, by Ctrl-C, SIGTERM or the clock, tests are interrupted once and get the time to clean up.
    That is why pytest has a process group of its own.
    """
    process = subprocess.Popen(command, cwd=TOP, stdin=subprocess.DEVNULL, process_group=0)
    try:
        return process.wait(SUITE_MINUTES * 60)
    except subprocess.TimeoutExpired:
        interrupt(process)
        return None
    except KeyboardInterrupt:
        interrupt(process)
        sys.exit(130)


def interrupt(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(CLEAN_UP_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"pytest did not end within {CLEAN_UP_SECONDS:.0f} s after an interrupt: killed", flush=True)
    finally:
        process.kill()


def judge(suite: str, code: int | None, report: Path, *, minutes: float) -> Outcome:
    """Counts from the report; what the report does not tell counts as one failure."""
    passed, failed, skipped = count(report)
    trouble = ""
    if code is None:
        trouble = f"stopped after {SUITE_MINUTES:.0f} minutes"
    elif skipped:
        trouble = f"{skipped} skipped: what a test needs must be installed, not missing"
    elif code == 5:
        trouble = "no test was found"
    elif code and not failed:
        trouble = f"pytest ended with {code}"
    failed += skipped
    return Outcome(suite, passed, max(failed, 1) if trouble else failed, minutes, trouble)


def count(report: Path) -> tuple[int, int, int]:
    """(passed, failed, skipped) tests of a JUnit report; an error in set-up or clean-up is a failure."""
    if not report.exists():
        return 0, 0, 0
    results: dict[tuple[str, str], str] = {}
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 (our own pytest wrote it)
        name = (case.get("classname", ""), case.get("name", ""))
        kinds = {child.tag for child in case}
        worst = next((kind for kind in ("error", "failure", "skipped") if kind in kinds), "passed")
        if results.get(name, "passed") == "passed":
            results[name] = worst
    found = list(results.values())
    skipped, passed = found.count("skipped"), found.count("passed")
    return passed, len(found) - passed - skipped, skipped


def describe(outcome: Outcome) -> str:
    trouble = outcome.trouble and f"  ({outcome.trouble})"
    sums = f"{outcome.passed:5} passed {outcome.failed:4} failed"
    return f"{outcome.suite:<9} {sums}  {outcome.minutes:5.1f} min{trouble}"


if __name__ == "__main__":
    main()
