"""Measures Fluvial beside its peers and beside the limit, in one run on this machine.

The server is pinned to one core, the load generator (wrk) to another. Servers of a case take
turns, round by round, while the others are frozen; figures are medians over the rounds.
bench/README.md tells the method.

    python bench/http.py                              everything, about eight minutes
    python bench/http.py --only async,sync --rounds 3
    python bench/http.py --servers raw,fluvial --seconds 1 --json out.json
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# The folder of this file must not be searched: it would hide the standard library's http.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import servers  # noqa: E402
from bench.harness.bridge_cases import BRIDGE_TARGETS, bridge_cases  # noqa: E402
from bench.harness.cases import EVERY_SERVER, TARGETS, Case, Field, all_cases  # noqa: E402
from bench.harness.run import Suite  # noqa: E402

CPU_MS = 10  # what apps/work.py's burn() shall take


def every_case(taking_part: Field) -> list[Case]:
    return [*all_cases(taking_part), *bridge_cases(taking_part)]


def calibrate(cpu: int | None) -> int:
    """Turns of burn()'s loop that take CPU_MS on the server's core."""
    program = (
        "import time, work\n"
        "def once():\n"
        "    start = time.thread_time(); work.burn(200000); return time.thread_time() - start\n"
        f"print(int(200000 * {CPU_MS / 1000} / min(once() for _ in range(20))))\n"
    )
    pin = ["taskset", "-c", str(cpu)] if cpu is not None else []
    output = subprocess.run(
        [*pin, sys.executable, "-c", program],
        cwd=servers.APPS,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return int(output)


def main() -> int:
    suite = Suite(
        about=__doc__ or "",
        cases=every_case,
        targets=(*TARGETS, *BRIDGE_TARGETS),
        servers=EVERY_SERVER,
        environment=lambda cpu: {"BENCH_CPU_TURNS": str(calibrate(cpu))},
    )
    return suite.run()


if __name__ == "__main__":
    sys.exit(main())
