"""Measures Fluvial beside its peers and beside the limit, in one run on this machine.

The server is pinned to one core, the load generator (wrk) to another. Servers of a case take
turns, round by round, while the others are frozen; figures are medians over the rounds.
bench/README.md tells the method.

    python bench/http.py                              everything, about eight minutes
    python bench/http.py --only async,sync --rounds 3
    python bench/http.py --servers raw,fluvial --seconds 1 --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

# The folder of this file must not be searched: it would hide the standard library's http.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import load, report, servers  # noqa: E402
from bench.harness.bridge_cases import BRIDGE_TARGETS, bridge_cases  # noqa: E402
from bench.harness.cases import EVERY_SERVER, TARGETS, Case, Field, all_cases  # noqa: E402
from bench.harness.options import some_of  # noqa: E402
from bench.harness.others import Others  # noqa: E402
from bench.harness.process import ServerFailed, ServerProcess  # noqa: E402
from bench.harness.results import Results  # noqa: E402

OPEN_FILES = 8192
CPU_MS = 10  # what apps/work.py's burn() shall take


def main() -> int:
    options = parse_options()
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        print(
            "wrk and taskset are needed (Debian: apt-get install wrk util-linux)", file=sys.stderr
        )
        return 1
    server_cpu, load_cpu = options.cpus
    load.allow_descriptors(OPEN_FILES)
    wanted = frozenset(options.servers)
    if "fluvial" in wanted and not servers.fluvial_is_installed():
        print(f"fluvial is not installed for {sys.executable}: measuring the others alone")
        wanted -= {"fluvial"}
    turns = calibrate(server_cpu)
    cases = [
        case
        for case in every_case(Field(wanted, env={"BENCH_CPU_TURNS": str(turns)}))
        if case.name in options.only
    ]
    load.pin_to(load_cpu)
    results = Results()
    print_machine(server_cpu, load_cpu, options)
    failed = False
    for case in cases:
        print(f"\n## {case.name}: {case.title}\n", flush=True)
        try:
            run_case(case, results, options)
        except (ServerFailed, load.LoadFailed) as error:
            failed = True
            print(f"FAILED: {error}\n", flush=True)
        print(report.case_table(case, results), flush=True)
        print(report.disturbance(case, results), end="", flush=True)
    if "fluvial" in wanted:
        print(f"\n## targets\n\n{report.target_table((*TARGETS, *BRIDGE_TARGETS), results)}")
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results), indent=1) + "\n")
    return 1 if failed else 0


def every_case(taking_part: Field) -> list[Case]:
    return [*all_cases(taking_part), *bridge_cases(taking_part)]


def run_case(case: Case, results: Results, options: argparse.Namespace) -> None:
    """Runs the servers of a case in turns; one that fails stops the case."""
    rounds = case.rounds or options.rounds
    cpu, _ = options.cpus
    if case.fresh:
        for _ in range(rounds):
            for server in case.servers:
                with server.start(cpu) as running:
                    running.wait_ready()
                    results.add(case.name, server.name, one_round(case, running, options))
        return
    with ExitStack() as stack:
        started = [stack.enter_context(server.start(cpu)) for server in case.servers]
        for running in started:
            running.wait_ready()
        for running in started:
            if case.warm is not None:
                load.run_wrk(case.warm, running.port, 1)
            running.pause()
        for _ in range(rounds):
            for running in started:
                results.add(case.name, running.name, one_round(case, running, options))


def one_round(case: Case, running: ServerProcess, options: argparse.Namespace) -> dict[str, float]:
    """Measures a server, which is frozen before (unless just started) and after."""
    running.resume()
    others = Others(running, [cpu for cpu in options.cpus if cpu is not None])
    try:
        figures = case.measure(running, options.seconds)
        figures["others"] = others.share()
        running.check()
    except load.LoadFailed as error:
        raise load.LoadFailed(f"{running.name}: {error}") from error
    finally:
        running.pause()
    return figures


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


def print_machine(
    server_cpu: int | None, load_cpu: int | None, options: argparse.Namespace
) -> None:
    print(
        f"# {time.strftime('%Y-%m-%d %H:%M')}, {_python()}, "
        f"Linux {platform.release()}, {os.cpu_count()} x {_cpu_model()}; "
        f"server on core {server_cpu}, wrk on core {load_cpu}; "
        f"{options.rounds} rounds of {options.seconds} s, medians"
    )
    if server_cpu is None:
        print("Only one core: server and load generator share it, so the ratios say little.")


def as_json(results: Results) -> dict[str, object]:
    targets = [
        {
            "case": target.case,
            "label": target.label,
            "figure": target.figure,
            "relative_to": target.relative_to,
            "at_most": target.at_most,
            "bound": target.bound,
            "value": value,
            "met": target.is_met(value),
        }
        for target in (*TARGETS, *BRIDGE_TARGETS)
        if (value := target.value(results)) is not None
    ]
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "python": _python(),
        "cpu": _cpu_model(),
        "cases": results.as_json(),
        "targets": targets,
    }


def parse_options() -> argparse.Namespace:
    names = [case.name for case in every_case(Field(frozenset()))]
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0],
        epilog=f"cases: {', '.join(names)}; servers: {', '.join(EVERY_SERVER)}",
    )
    parser.add_argument("--only", type=some_of(names), default=names, metavar="CASE,…")
    parser.add_argument(
        "--servers", type=some_of(EVERY_SERVER), default=list(EVERY_SERVER), metavar="NAME,…"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds per case (5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds per round, whole (2)")
    parser.add_argument("--cpus", type=_cpus, default=_default_cpus(), metavar="SERVER,LOAD")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    return parser.parse_args()


def _cpus(text: str) -> tuple[int, int]:
    server, _, generator = text.partition(",")
    return int(server), int(generator)


def _default_cpus() -> tuple[int | None, int | None]:
    available = sorted(os.sched_getaffinity(0))
    return (available[0], available[1]) if len(available) > 1 else (None, None)


def _python() -> str:
    """With its path: how a Python was built matters more than its version."""
    return f"CPython {platform.python_version()} ({Path(sys.executable).resolve()})"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    sys.exit(main())
