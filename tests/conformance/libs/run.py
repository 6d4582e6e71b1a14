"""`make conformance-libs`: the test suites of libraries, on fluvial.Loop and on uvloop.

Each suite runs twice, in processes of its own. Prints a table and the names of what fails on
Fluvial's loop only. Fails when fewer tests pass than recorded.json says, when fewer than on uvloop,
or when one fails only here that only_here.py doesn't name. Such tests are run once more by
themselves, since many look at a clock.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import only_here
import services
import suites

RECORD = suites.HERE / "recorded.json"
VERSION = ".".join(map(str, sys.version_info[:2]))
OUTPUT = suites.ROOT / "build" / "conformance-libs" / VERSION
LOOPS = ("fluvial", "uvloop")
RETRIED = 40  # more failures than these are no accident

Outcomes = dict[str, str]
Record = dict[str, dict[str, dict[str, int]]]


@dataclass(slots=True)
class Verdict:
    """What is said of a suite."""

    name: str
    outcomes: dict[str, Outcomes]
    seconds: float
    problems: list[str] = field(default_factory=list)
    only_here: list[str] = field(default_factory=list)

    def passed(self, loop: str) -> int:
        return sum(outcome == "passed" for outcome in self.outcomes[loop].values())


def pytest(
    suite: suites.Suite, loop: str, options: list[str], environment: dict[str, str]
) -> Outcomes:
    """Runs a suite, or a part of it, on one loop. Empty when it did not come to its end."""
    folder = OUTPUT / suite.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    suites.prepare(suite, folder)
    report = OUTPUT / f"{suite.name}.{loop}.jsonl"
    report.unlink(missing_ok=True)
    more = {
        "CONFORMANCE_LOOP": loop,
        "CONFORMANCE_REPORT": str(report),
        "PYTHONPATH": os.pathsep.join([str(suites.HERE), str(suites.ROOT / "pysrc")]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "libs_plugin", "-p", "no:cacheprovider"]
    command += ["--quiet", "--timeout=120", "--rootdir=.", *options]
    with (OUTPUT / f"{suite.name}.{loop}.log").open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**os.environ, **suite.environment, **environment, **more},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            process.wait(suite.limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # a group of its own
            process.wait()
    if not report.is_file():
        return {}
    return dict(json.loads(line) for line in report.read_text().splitlines())


@contextlib.contextmanager
def serving(suite: suites.Suite) -> Iterator[tuple[list[str], dict[str, str]]]:
    """Starts the server that a suite needs; gives pytest's options and an environment."""
    options = list(suite.options)
    if suite.name == "redis":
        with services.redis() as url:
            yield [option.format(redis=url) for option in options], {}
    elif suite.name == "asyncpg":
        with services.postgres() as environment:
            yield options, environment
    else:
        yield options, {}


def run(suite: suites.Suite) -> Verdict:
    started = time.monotonic()
    outcomes: dict[str, Outcomes] = {}
    for loop in LOOPS:
        with serving(suite) as (options, environment):
            outcomes[loop] = pytest(suite, loop, options, environment)
    found = Verdict(suite.name, outcomes, 0.0)
    found.problems += [f"did not come to its end on {loop}" for loop in LOOPS if not outcomes[loop]]
    again = failing_only_here(found)
    if 0 < len(again) <= RETRIED:
        retry(suite, found, again)
    found.only_here = failing_only_here(found)
    found.seconds = time.monotonic() - started
    return found


def failing_only_here(found: Verdict) -> list[str]:
    ours, theirs = (found.outcomes[loop] for loop in LOOPS)
    return sorted(name for name in ours if ours[name] == "failed" and theirs.get(name) == "passed")


def retry(suite: suites.Suite, found: Verdict, names: list[str]) -> None:
    """Runs single tests once more, and takes what passes for passed."""
    with serving(suite) as (options, environment):
        extra = [option for option in options if option.startswith(("--redis", "aiohttp.pytest"))]
        extra += ["-p", extra.pop()] if "aiohttp.pytest_plugin" in extra else []
        second = pytest(suite, "fluvial", [*names, *extra, "-W", "ignore"], environment)
    for name, outcome in second.items():
        if outcome == "passed" and name in names:
            found.outcomes["fluvial"][name] = "passed"


def judge(found: Verdict, recorded: dict[str, int]) -> None:
    """Adds to the problems what is worse than it was, or than on uvloop."""
    ours, theirs = found.passed("fluvial"), found.passed("uvloop")
    if ours < recorded.get("fluvial", 0):
        found.problems.append(f"{ours} passed, {recorded['fluvial']} when recorded")
    known = [name for name in only_here.TESTS if name in found.outcomes["fluvial"]]
    if ours + len(known) < theirs:
        found.problems.append(f"{ours} passed, {theirs} on uvloop")
    for name in found.only_here:
        if name not in only_here.TESTS:
            found.problems.append(f"fails only here: {name}")
    for name in known:
        if found.outcomes["fluvial"][name] == "passed":
            found.problems.append(f"passes: take it out of only_here.py: {name}")


def show(found: Verdict) -> None:
    counts = "".join(f"{found.passed(loop):10}" for loop in LOOPS)
    both = len(set().union(*found.outcomes.values()))
    print(f"{found.name:12}{counts}{both:10}{found.seconds:8.0f} s", flush=True)
    for name in found.only_here:
        print(f"    only here: {name}: {only_here.TESTS.get(name, 'not known')}")
    for problem in found.problems:
        print(f"    FAILED: {problem}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [suite.name for suite in suites.SUITES]
    parser.add_argument("suites", nargs="*", help=f"only these of {', '.join(names)}")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    options = parser.parse_args()
    if unknown := set(options.suites) - set(names):
        parser.error(f"no such suite: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    record: Record = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    print(f"{'passed':12}{'fluvial':>10}{'uvloop':>10}{'tests':>10}", flush=True)
    failed = False
    for suite in suites.SUITES:
        if options.suites and suite.name not in options.suites:
            continue
        found = run(suite)
        judge(found, {} if options.record else record.get(VERSION, {}).get(suite.name, {}))
        show(found)
        failed |= bool(found.problems)
        counts = {loop: found.passed(loop) for loop in LOOPS}
        record.setdefault(VERSION, {})[suite.name] = counts
        if options.record:
            RECORD.write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (services.Unavailable, suites.vendor.VendorError) as exc:
        sys.exit(f"fluvial: {exc}")
