"""Runs the cases of a benchmark: the servers of each take turns, round by round."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import load, report, servers
from .cases import Case, Field, Target
from .options import some_of
from .others import Others
from .process import ServerFailed, ServerProcess
from .results import Results

if TYPE_CHECKING:
    from .measure import Figures

OPEN_FILES = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A benchmark: its description, its cases for some servers, and the targets.

    `environment(cpu)` is what the servers find in their environment.
    """

    about: str
    cases: Callable[[Field], list[Case]]
    targets: Sequence[Target]
    servers: Sequence[str]
    environment: Callable[[int | None], dict[str, str]] = lambda cpu: {}

    def run(self) -> int:
        """Measures what the command line says and prints the tables; the exit code."""
        options = self._parse_options()
        if shutil.which("wrk") is None or shutil.which("taskset") is None:
            needed = "wrk and taskset are needed (Debian: apt-get install wrk util-linux)"
            print(needed, file=sys.stderr)
            return 1
        server_cpu, load_cpu = options.cpus
        load.allow_descriptors(OPEN_FILES)
        wanted = frozenset(options.servers)
        if "fluvial" in wanted and not servers.fluvial_is_installed():
            print(f"fluvial is not installed for {sys.executable}: measuring the others alone")
            wanted -= {"fluvial"}
        found = self.cases(Field(wanted, env=self.environment(server_cpu)))
        cases = [case for case in found if case.name in options.only]
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
            print(f"\n## targets\n\n{report.target_table(self.targets, results)}")
        if options.json is not None:
            options.json.write_text(json.dumps(self._as_json(results), indent=1) + "\n")
        return 1 if failed else 0

    def _parse_options(self) -> argparse.Namespace:
        names = [case.name for case in self.cases(Field(frozenset()))]
        parser = argparse.ArgumentParser(
            description=self.about.split("\n\n")[0],
            epilog=f"cases: {', '.join(names)}; servers: {', '.join(self.servers)}",
        )
        some = list(self.servers)
        parser.add_argument("--only", type=some_of(names), default=names, metavar="CASE,…")
        parser.add_argument("--servers", type=some_of(some), default=some, metavar="NAME,…")
        parser.add_argument("--rounds", type=int, default=5, help="rounds per case (5)")
        parser.add_argument("--seconds", type=int, default=2, help="seconds per round, whole (2)")
        parser.add_argument(
            "--cpus", type=parse_cpus, default=default_cpus(), metavar="SERVER,LOAD"
        )
        parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
        return parser.parse_args()

    def _as_json(self, results: Results) -> dict[str, object]:
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
            for target in self.targets
            if (value := target.value(results)) is not None
        ]
        return {
            "when": time.strftime("%Y-%m-%dT%H:%M:%S"),
            "python": _python(),
            "cpu": _cpu_model(),
            "cases": results.as_json(),
            "targets": targets,
        }


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
            if case.check is not None:
                case.check(running)
        for running in started:
            if case.warm is not None:
                load.run_wrk(case.warm, running.port, 1)
            running.pause()
        for _ in range(rounds):
            for running in started:
                results.add(case.name, running.name, one_round(case, running, options))


def one_round(case: Case, running: ServerProcess, options: argparse.Namespace) -> Figures:
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


def parse_cpus(text: str) -> tuple[int, int]:
    server, _, generator = text.partition(",")
    return int(server), int(generator)


def default_cpus() -> tuple[int | None, int | None]:
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
