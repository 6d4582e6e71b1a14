"""`make conformance-fastapi`: the tests of FastAPI's tutorial, on Fluvial.

FastAPI's programs and tests are unmodified; fluvial.compat stands for fastapi and starlette. Each
test runs twice: with the app in the same process, and through a TCP socket. Prints how many passed
by topic. Fails when fewer pass than recorded.json says, and when one passes that cannot_pass.py
says can't.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cannot_pass
import suite

VERSION = ".".join(map(str, sys.version_info[:2]))
OUTPUT = suite.ROOT / "build" / "conformance-fastapi" / VERSION
RECORD = suite.HERE / "recorded.json"
WAYS = ("process", "socket")
TESTS = "tests/test_tutorial"
TOTAL = 1398  # cases, parameters counted
LIMIT = 1800  # seconds for one run

Outcomes = dict[str, tuple[str, str]]


def run(way: str, tests: list[str]) -> Outcomes:
    """The outcome of each test, and the reason of a failure."""
    folder = OUTPUT / way
    suite.prepare(folder)
    report = OUTPUT / f"{way}.jsonl"
    report.unlink(missing_ok=True)
    environment = {
        **os.environ,
        "CONFORMANCE_WAY": way,
        "CONFORMANCE_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(suite.HERE), str(suite.ROOT / "pysrc")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "fastapi_plugin", "-p", "no:cacheprovider"]
    command += ["-q", "--rootdir=.", "--tb=short", "--continue-on-collection-errors", *tests]
    with (OUTPUT / f"{way}.log").open("w") as log:
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


def show(way: str, outcomes: Outcomes) -> None:
    every = Counter(topic(name) for name in outcomes)
    good = Counter(topic(name) for name in passed(outcomes))
    for name in sorted(every):
        if good[name] < every[name]:
            print(f"  {name:45}{good[name]:5} of {every[name]}")
    print(f"{way}: passed {sum(good.values())} of {TOTAL}", flush=True)


def write_failures(way: str, outcomes: Outcomes) -> Path:
    """All failures by topic, for who mends them."""
    path = OUTPUT / f"{way}.failures.txt"
    failed = {name: why for name, (outcome, why) in outcomes.items() if outcome == "failed"}
    with path.open("w") as file:
        for name in sorted(failed, key=lambda each: (topic(each), each)):
            file.write(f"{name}\n    {failed[name]}\n")
    return path


def judge(way: str, outcomes: Outcomes, recorded: int) -> list[str]:
    """What is worse than it was."""
    good = passed(outcomes)
    problems = []
    if len(good) < recorded:
        problems.append(f"{way}: {len(good)} passed, {recorded} when recorded")
    for name in cannot_pass.TESTS:
        if name in good:
            problems.append(f"{way}: passes: take it out of cannot_pass.py: {name}")
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tests", nargs="*", help=f"pytest's arguments instead of {TESTS}")
    parser.add_argument("--way", action="append", choices=[*WAYS, "stock"], help="only this way")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    OUTPUT.mkdir(parents=True, exist_ok=True)
    record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    recorded = record.setdefault(VERSION, {})
    problems = []
    for way in options.way or WAYS:
        outcomes = run(way, options.tests or [TESTS])
        show(way, outcomes)
        print(f"  failures: {write_failures(way, outcomes)}", flush=True)
        if options.record:
            recorded[way] = len(passed(outcomes))
        elif way != "stock" and not options.tests:
            problems += judge(way, outcomes, recorded.get(way, 0))
    if options.record:
        RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except suite.vendor.VendorError as exc:
        sys.exit(f"fluvial: {exc}")
