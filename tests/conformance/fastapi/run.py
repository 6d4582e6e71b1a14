"""`make conformance-fastapi`: FastAPI's and Starlette's own tests, on Fluvial.

The programs and tests are unmodified; fluvial.compat stands for fastapi and starlette. The suites
are FastAPI's tutorial, FastAPI's other tests, and Starlette's. Each test runs twice: with the app
in the same process, and through a TCP socket. Prints how many passed by topic. Fails when fewer
pass than recorded.json says, and when one passes that the suite's list says can't.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import suite
from suite import Suite

VERSION = ".".join(map(str, sys.version_info[:2]))
OUTPUT = suite.ROOT / "build" / "conformance-fastapi" / VERSION
RECORD = suite.HERE / "recorded.json"
WAYS = ("process", "socket")
LIMIT = 1800  # seconds for one run

Outcomes = dict[str, tuple[str, str]]


def run(chosen: Suite, way: str, tests: list[str]) -> Outcomes:
    """The outcome of each test, and the reason of a failure."""
    folder = OUTPUT / f"{chosen.name}-{way}"
    chosen.prepare(folder)
    report = OUTPUT / f"{chosen.name}-{way}.jsonl"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CONFORMANCE_WAY": way,
        "CONFORMANCE_SUITE": chosen.name,
        "CONFORMANCE_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(suite.HERE), str(suite.ROOT / "pysrc")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "fastapi_plugin", "-p", "no:cacheprovider"]
    command += ["-q", "--rootdir=.", "--tb=short", "--continue-on-collection-errors", *tests]
    with (OUTPUT / f"{chosen.name}-{way}.log").open("w") as log:
        subprocess.run(
            command, cwd=folder, env=environment, stdout=log, stderr=log, timeout=LIMIT, check=False
        )
    lines = report.read_text().splitlines() if report.is_file() else []
    outcomes: Outcomes = {}
    for name, outcome, why in map(json.loads, lines):
        if outcomes.get(name, ("", ""))[0] != "failed":  # a later teardown doesn't make up for it
            outcomes[name] = outcome, why
    return outcomes


def topic(name: str) -> str:
    parts = Path(name.partition("::")[0]).parts
    return parts[2] if len(parts) > 3 else Path(parts[-1]).stem


def passed(outcomes: Outcomes) -> list[str]:
    return sorted(name for name, (outcome, _) in outcomes.items() if outcome == "passed")


def show(title: str, outcomes: Outcomes) -> None:
    kinds = Counter(outcome for outcome, _ in outcomes.values())
    every = Counter(topic(name) for name, (outcome, _) in outcomes.items() if outcome != "skipped")
    good = Counter(topic(name) for name in passed(outcomes))
    for name in sorted(every):
        if good[name] < every[name]:
            print(f"  {name:45}{good[name]:5} of {every[name]}")
    left = ", ".join(f"{kinds[kind]} {kind}" for kind in ("failed", "skipped"))
    print(f"{title}: passed {kinds['passed']} of {len(outcomes)} ({left})", flush=True)


def write_failures(path: Path, outcomes: Outcomes) -> Path:
    """All failures by topic, for who mends them."""
    failed = {name: why for name, (outcome, why) in outcomes.items() if outcome == "failed"}
    with path.open("w") as file:
        for name in sorted(failed, key=lambda each: (topic(each), each)):
            file.write(f"{name}\n    {failed[name]}\n")
    return path


def judge(title: str, outcomes: Outcomes, recorded: int, cannot_pass: dict[str, str]) -> list[str]:
    """What is worse than it was."""
    good = passed(outcomes)
    problems = []
    if len(good) < recorded:
        problems.append(f"{title}: {len(good)} passed, {recorded} when recorded")
    for name in cannot_pass:
        if name in good:
            problems.append(f"{title}: passes: take it out of cannot_pass: {name}")
    return problems


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help="pytest's arguments instead of the suite's")
    parser.add_argument("--suite", action="append", choices=suite.SUITES, help="tutorial")
    parser.add_argument("--way", action="append", choices=[*WAYS, "stock"], help="only this way")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    return parser.parse_args()


def main() -> int:
    given = options()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    problems = []
    for chosen in [suite.SUITES[name] for name in given.suite or ("tutorial",)]:
        recorded = record.setdefault(VERSION, {}).setdefault(chosen.name, {})
        for way in given.way or WAYS:
            title = f"{chosen.name}, {way}"
            outcomes = run(chosen, way, given.tests or list(chosen.tests))
            show(title, outcomes)
            failures = OUTPUT / f"{chosen.name}-{way}.failures.txt"
            print(f"  failures: {write_failures(failures, outcomes)}", flush=True)
            if given.record:
                recorded[way] = len(passed(outcomes))
            elif way != "stock" and not given.tests:
                cannot = chosen.cannot_pass()
                problems += judge(title, outcomes, recorded.get(way, 0), cannot)
    if given.record:
        RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except suite.vendor.VendorError as exc:
        sys.exit(f"fluvial: {exc}")
