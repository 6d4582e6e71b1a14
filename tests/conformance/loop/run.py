"""`make conformance-loop`: others' tests of event loops, on fluvial.Loop.

CPython's own asyncio tests (of the interpreter that runs) and anyio's, each file in a process of
its own. Prints `passed N of M` for each and the tracebacks of what failed. Fails when fewer tests
pass than recorded.json says or, on a version of Python that it doesn't know, when any fails. A
test that fails is run a second time by itself, since many of these look at a clock.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import time

import groups
import report
import substitute
import verdict

RECORD = groups.HERE / "recorded.json"
VERSION = ".".join(map(str, sys.version_info[:3]))
OUTPUT = groups.ROOT / "build" / "conformance-loop" / VERSION

# More failures than this in one group are no accident.
RETRIED = 10

Figures = dict[str, dict[str, int]]


def run(group: groups.Group, tests: tuple[str, ...] = ()) -> verdict.Result:
    """Runs a group, or only `tests` of it, in a process of its own."""
    name = group.name.replace("/", ".") + (".again" if tests else "")
    path, log = OUTPUT / f"{name}.jsonl", OUTPUT / f"{name}.log"
    environment = {**os.environ, **group.environment, "CONFORMANCE_REPORT": str(path)}
    started = time.monotonic()
    with log.open("w") as output:
        process = subprocess.Popen(
            group.arguments(path, tests),
            cwd=group.folder or OUTPUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            ended = f"ended with status {process.wait(group.limit)}"
        except subprocess.TimeoutExpired:
            ended = f"was ended after {group.limit:.0f} s"
            os.killpg(process.pid, signal.SIGABRT)  # faulthandler shows where it hung
            process.wait()
    found = report.read(path)
    broken = ""
    if not found.complete:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        broken = f"{ended} in {found.running or 'no test'}:\n{last}"
    return verdict.Result(group, found.tests, time.monotonic() - started, broken)


def judge(group: groups.Group, loop: str) -> verdict.Verdict:
    """Runs a group, and what failed of it once more."""
    found = verdict.of(run(group), loop)
    names = tuple(test.name for test in found.failed)
    if names and len(names) <= RETRIED and not found.broken:
        found.forgive(verdict.of(run(group, names), loop))
    return found


def show(found: verdict.Verdict) -> None:
    beside = "" if found.reference is None else f", {found.reference} on asyncio's own loop"
    print(
        f"{found.group.suite:8} {found.group.name:25} passed {found.passed:3} of "
        f"{found.counted:3}{beside}   {found.seconds:.0f} s",
        flush=True,
    )
    for note in found.notes:
        print(f"    {note}")
    for test in found.failed:
        print(f"---- {found.group.name} {test.name}\n{test.text.rstrip()}\n----")
    if found.broken:
        print(f"---- {found.group.name} {found.broken}\n----")
    sys.stdout.flush()


def compare(all_found: list[verdict.Verdict], recorded: Figures) -> list[str]:
    """Where fewer pass than recorded."""
    problems = []
    for found in all_found:
        before = recorded.get(found.group.suite, {}).get(found.group.name, 0)
        if found.passed + found.excused < before:
            problems.append(f"{found.group.name}: {found.passed} passed, {before} when recorded")
    return problems


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "groups", nargs="*", help="only these: test_streams, tests/test_sockets.py, ..."
    )
    parser.add_argument("--loop", choices=substitute.LOOPS, default="fluvial")
    parser.add_argument("--suite", choices=("cpython", "anyio"), action="append")
    parser.add_argument("--jobs", type=int, default=4, help="processes at once; most wait")
    parser.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    return parser.parse_args()


def chosen_groups(options: argparse.Namespace) -> list[groups.Group]:
    suites = options.suite or ["cpython", *(["anyio"] if options.loop == "fluvial" else [])]
    found = list(groups.cpython(options.loop)) if "cpython" in suites else []
    if "anyio" in suites:
        found[1:1] = groups.anyio()  # they take longer than most
    names = {group.name for group in found}
    if unknown := set(options.groups) - names:
        raise groups.Unavailable(f"no such group: {', '.join(sorted(unknown))}; there are {names}")
    return [group for group in found if not options.groups or group.name in options.groups]


def main() -> int:
    options = arguments()
    # A shell starts what it runs in the background with SIGINT ignored, and so would the tests be.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    figures: Figures = {}
    all_found = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = [pool.submit(judge, group, options.loop) for group in chosen_groups(options)]
        for done in concurrent.futures.as_completed(running):
            found = done.result()
            show(found)
            all_found.append(found)
            figures.setdefault(found.group.suite, {})[found.group.name] = found.passed
    for suite in sorted(figures):
        of_suite = [found for found in all_found if found.group.suite == suite]
        passed, counted = (sum(getattr(f, key) for f in of_suite) for key in ("passed", "counted"))
        print(f"{suite}: passed {passed} of {counted} on {options.loop}, Python {VERSION}")
    print(f"in {time.monotonic() - started:.0f} s")
    return 0 if options.loop != "fluvial" else conclude(figures, all_found, options.record)


def conclude(figures: Figures, all_found: list[verdict.Verdict], write: bool) -> int:
    """Compares with the record, or writes it; returns the exit status."""
    records = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    if write:
        for suite, counts in figures.items():
            records.setdefault(VERSION, {}).setdefault(suite, {}).update(counts)
        RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")
        return 0
    problems = [f"{found.group.name}: {problem}" for found in all_found for problem in found.wrong]
    if VERSION in records:
        problems += compare(all_found, records[VERSION])
    else:
        print(f"nothing is recorded for {VERSION}: every test must pass")
        problems += [f"{found.group.name}: tests failed" for found in all_found if found.failed]
    for problem in problems:
        print(f"FAILED: {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except groups.Unavailable as exc:
        sys.exit(f"fluvial: {exc}")
