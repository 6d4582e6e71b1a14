"""What the tests execute, of the C and of the Python code: one report.

    python scripts/covered.py [--record] [--tests PATH ...] [-- PYTEST-OPTION ...]

The core must have been built for it: FLUVIAL_COVERAGE=1 setup.py build --build-lib build/coverage,
as `make coverage` does. Counts lines: gcov's for ext/, coverage.py's for pysrc/. The floor is in
tests/coverage.json, with the tests that it is for; below it the script fails. --record writes it,
rounded down to whole percents. With --tests the report is made without a floor.

A process that ends without its exit handlers (os._exit, a signal) isn't counted.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXT, BUILD = ROOT / "ext", ROOT / "build"
FLOOR = ROOT / "tests" / "coverage.json"
DATA = BUILD / "coverage" / "python"
BATCH = 40  # files for one call of gcov

# {file: {line: whether it was executed}}
Lines = dict[str, dict[int, bool]]


def objects(suffix: str) -> list[Path]:
    """The compiler's notes (gcno) or the counters (gcda) of the core, and of the tests' own."""
    return sorted(path for path in BUILD.glob(f"*-coverage/**/*.{suffix}"))


def run_tests(tests: list[str], options: list[str]) -> int:
    """Runs pytest under coverage.py, in all of its processes."""
    for path in objects("gcda"):
        path.unlink()
    DATA.mkdir(parents=True, exist_ok=True)
    for path in DATA.glob(".coverage*"):
        path.unlink()
    env = os.environ | {
        "COVERAGE_FILE": str(DATA / ".coverage"),
        "FLUVIAL_COVERAGE": "1",
        "PYTHONPATH": str(BUILD / "coverage"),
    }
    command = [sys.executable, "-m", "coverage", "run", "-m", "pytest", *options, *tests]
    return subprocess.run(command, cwd=ROOT, env=env, check=False).returncode


def c_lines() -> Lines:
    """Of files that are compiled more than once a line counts when any of them executed it."""
    notes = objects("gcno")
    found: Lines = collections.defaultdict(dict)
    for start in range(0, len(notes), BATCH):
        names = [str(path) for path in notes[start : start + BATCH]]
        command = ["gcov", "--json-format", "--stdout", *names]
        done = subprocess.run(command, cwd=BUILD, capture_output=True, text=True, check=True)
        for text in done.stdout.splitlines():
            for file in json.loads(text)["files"]:
                path = Path(file["file"])
                if path.is_relative_to(EXT):
                    lines = found[str(path.relative_to(ROOT))]
                    for line in file["lines"]:
                        number = line["line_number"]
                        lines[number] = lines.get(number, False) or line["count"] > 0
    return found


def python_lines() -> Lines:
    """By coverage.py, whose settings are in pyproject.toml."""
    env = os.environ | {"COVERAGE_FILE": str(DATA / ".coverage")}
    command = [sys.executable, "-m", "coverage"]
    subprocess.run([*command, "combine", "--quiet"], cwd=ROOT, env=env, check=True)
    report = DATA / "report.json"
    subprocess.run([*command, "json", "--quiet", "-o", report], cwd=ROOT, env=env, check=True)
    files = json.loads(report.read_text())["files"]
    return {
        name: dict.fromkeys(file["executed_lines"], True)
        | dict.fromkeys(file["missing_lines"], False)
        for name, file in files.items()
    }


def percent(files: Lines) -> float:
    executed = [line for lines in files.values() for line in lines.values()]
    return 100 * sum(executed) / max(1, len(executed))


def show(language: str, files: Lines) -> None:
    """One line for each folder, and the files that are executed least."""
    folders: dict[str, Lines] = collections.defaultdict(dict)
    for name, lines in files.items():
        folders[str(Path(name).parent)][name] = lines
    print(f"\n{language}: {percent(files):.1f} %")
    for folder, inside in sorted(folders.items()):
        total = sum(map(len, inside.values()))
        print(f"  {percent(inside):5.1f} %  {total:6} lines  {folder}")
    least = sorted((percent({name: lines}), name) for name, lines in files.items() if lines)
    print("  least: " + ", ".join(f"{name} {value:.0f} %" for value, name in least[:6]))


def judge(found: dict[str, float], tests: list[str], *, record: bool) -> int:
    if record:
        floors = {name: math.floor(value) for name, value in found.items()}
        FLOOR.write_text(json.dumps({"tests": tests, "floor": floors}, indent=2) + "\n")
        print(f"\nrecorded in {FLOOR.relative_to(ROOT)}: {floors}")
        return 0
    low = [
        f"{name} {found[name]:.1f} % instead of {floor} %"
        for name, floor in json.loads(FLOOR.read_text())["floor"].items()
        if found[name] < floor
    ]
    print("\n" + (f"below the floor: {', '.join(low)}" if low else "not below the floor"))
    return 1 if low else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--record", action="store_true", help="write tests/coverage.json")
    parser.add_argument("--tests", nargs="*", default=[], help="others than the recorded ones")
    parser.add_argument("options", nargs="*", help="for pytest")
    options = parser.parse_args()
    recorded = json.loads(FLOOR.read_text())["tests"]
    status = run_tests(options.tests or recorded, options.options)
    found = {"C": c_lines(), "Python": python_lines()}
    for language, files in found.items():
        show(language, files)
    if status != 0:
        print("\ntests have failed")
        return status
    if options.tests and not options.record:
        return 0
    percents = {language: percent(files) for language, files in found.items()}
    return judge(percents, options.tests or recorded, record=options.record)


if __name__ == "__main__":
    sys.exit(main())
