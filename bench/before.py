"""Measures this Fluvial beside an earlier one, in one run: what has a change cost?

The earlier one is a folder with a built package: what `python setup.py build --build-lib FOLDER`
makes in another checkout. Both are run by this Python, in turns, round by round, as bench/http.py
does.

    python bench/before.py ../earlier/build/release
    python bench/before.py ../earlier/build/release --only async,asgi --rounds 9
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

# The folder of this file must not be searched: it holds an http.py.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import load, servers  # noqa: E402
from bench.harness.cases import THROUGHPUT, Case  # noqa: E402
from bench.harness.load import Load  # noqa: E402
from bench.harness.measure import Throughput  # noqa: E402
from bench.harness.options import some_of  # noqa: E402
from bench.harness.results import Results  # noqa: E402
from bench.harness.run import OPEN_FILES, default_cpus, parse_cpus, print_machine, run_case  # noqa: E402

# Each case: the app, what it is asked for, and how many requests are pipelined.
CASES = {
    "async": ("fluvial_app:app", "/async", 1),
    "async16": ("fluvial_app:app", "/async", 16),
    "sync": ("fluvial_app:app", "/sync", 1),
    "items": ("fluvial_app:app", "/items/42?q=river", 1),
    "asgi": ("asgi_app:app", "/async", 1),
}


def main() -> int:
    options = parse_options()
    load.allow_descriptors(OPEN_FILES)
    load.pin_to(options.cpus[1])
    print_machine(*options.cpus, options)
    print("\n| case | user µs before | now | now/before | CPU µs before | now | now/before |")
    print("|---|---|---|---|---|---|---|")
    results = Results()
    for name in options.only:
        run_case(make_case(name, options.folder), results, options)
        cells = [name]
        for figure in ("user_us", "cpu_us"):
            before = results.figure(name, "before", figure)
            now = results.figure(name, "now", figure)
            ratio = results.ratio(name, "now", "before", figure)
            assert before is not None
            assert now is not None
            assert ratio is not None
            cells += [f"{before:.2f}", f"{now:.2f}", f"{ratio:.3f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
    return 0


def make_case(name: str, folder: Path) -> Case:
    app, path, depth = CASES[name]
    now = servers.fluvial(app=app, name="now")
    before = dataclasses.replace(now, name="before", env={"PYTHONPATH": str(folder)})
    asked = Load(path=path, depth=depth)
    return Case(
        name=name,
        title=f"{app} {path}",
        servers=(before, now),
        measure=Throughput(asked),
        warm=asked,
        columns=THROUGHPUT,
    )


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=lambda text: Path(text).resolve(), metavar="FOLDER")
    parser.add_argument("--only", type=some_of(list(CASES)), default=list(CASES), metavar="CASE,…")
    parser.add_argument("--rounds", type=int, default=7, help="rounds per case (7)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds per round, whole (2)")
    parser.add_argument("--cpus", type=parse_cpus, default=default_cpus(), metavar="SERVER,LOAD")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
