"""Prints results: a table for each case, and one of the targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.loops.cases import Case as LoopCase

    from .cases import Case, Target
    from .results import Results

DISTURBED = 0.05  # of the time of the two cores

_HEADINGS = {
    "rps": "requests/s",
    "cpu_us": "CPU µs",
    "user_us": "user µs",
    "system_us": "system µs",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "rss_mib": "RSS MiB",
    "load_busy": "wrk busy",
    "server_busy": "server busy",
    "def_rps": "def req/s",
    "def_p99_ms": "def p99 ms",
    "burst_ms": "burst ms",
    "wakeups": "wake-ups/s",
    "idle_cpu_us": "CPU µs/s",
    "threads": "threads",
    "conn_kib": "KiB/connection",
    "per_cpu_s": "requests/CPU s",
    "start_ms": "CPU ms to start",
    "mb_per_cpu_s": "MB/CPU s",
    "mb_per_s": "MB/s",
    "user_share": "user",
}
_FORMATS = {
    "rps": "{:,.0f}",
    "per_cpu_s": "{:,.0f}",
    "mb_per_cpu_s": "{:.0f}",
    "mb_per_s": "{:.0f}",
    "user_share": "{:.0%}",
    "threads": "{:.0f}",
    "load_busy": "{:.0%}",
    "server_busy": "{:.0%}",
}
_NAMES = {
    "rps": "requests/s",
    "def_rps": "requests/s",
    "per_cpu_s": "requests/CPU s",
    "start_ms": "CPU to start",
    "mb_per_cpu_s": "bytes/CPU s",
    "user_us": "user CPU",
    "p50_ms": "p50",
    "p99_ms": "p99",
    "wakeups": "wake-ups",
    "rss_mib": "resident",
    "conn_kib": "adds",
}


def case_table(case: Case, results: Results) -> str:
    """Requests/s first where there are any, then the ratios, then what the case is about."""
    columns = list(case.columns)
    if "rps" not in columns and case.ratio_of == "rps" and case.compare:
        columns.insert(0, "rps")
    heads = [_HEADINGS[name] for name in columns]
    ratios = [other for other in case.compare if other in results.servers(case.name)]
    rows = []
    for server in results.servers(case.name):
        cells = [_format(name, results.figure(case.name, server, name)) for name in columns]
        cells += [
            _format("ratio", results.ratio(case.name, server, other, case.ratio_of))
            for other in ratios
        ]
        rows.append([server, *cells])
    return table(["server", *heads, *(f"x {other}" for other in ratios)], rows)


def disturbance(case: Case, results: Results) -> str:
    """A line that warns when something else used the cores during the case, or nothing."""
    shares = [results.figure(case.name, server, "others") for server in results.servers(case.name)]
    worst = max((share for share in shares if share is not None), default=0.0)
    if worst < DISTURBED or not case.timed:
        return ""
    return f"\nDisturbed: something else used {worst:.0%} of the two cores. Measure again.\n"


def target_table(targets: Sequence[Target], results: Results) -> str:
    rows = []
    for target in targets:
        value = target.value(results)
        if value is None:
            continue
        sign = "≤" if target.at_most else "≥"
        unit = f" {target.unit}" if target.unit else ""
        of = f" x {target.relative_to}'s" if target.relative_to else ""
        rows.append(
            [
                target.label,
                f"{_NAMES[target.figure]} {sign} {target.bound:g}{of}{unit}",
                f"{value:.2f}{unit}",
                "met" if target.is_met(value) else "MISSED",
            ]
        )
    return table(["route", "target", "measured", ""], rows, left=3)


def loop_table(case: LoopCase, results: Results) -> str:
    """Each loop's figures in a case of bench/loop.py, and its speed beside the others'."""
    columns = {
        "rps": "per second",
        "cpu_us": "CPU µs",
        "conn_kib": "KiB/connection",
        "early_us": "first µs late",
        "late_p50_us": "median",
        "late_p99_us": "p99",
    }
    loops = results.servers(case.name)
    shown = [
        name for name in columns if any(results.figure(case.name, loop, name) for loop in loops)
    ]
    others = [other for other in loops if results.figure(case.name, other, "speed")]
    rows = [
        [
            loop,
            *(_format(name, results.figure(case.name, loop, name)) for name in shown),
            *(_format("ratio", results.ratio(case.name, loop, other, "speed")) for other in others),
        ]
        for loop in loops
    ]
    heads = [columns[name] for name in shown]
    return table(["loop", *heads, *(f"x {other}" for other in others)], rows)


def loop_target_table(cases: Sequence[LoopCase], results: Results) -> str:
    """All cases: what each loop takes for one of them, and fluvial.Loop's speed beside the
    others'."""
    loops = ("asyncio", "uvloop", "fluvial")
    rows = []
    for case in cases:
        value = results.ratio(case.name, "fluvial", "uvloop", "speed")
        if value is None:
            continue
        rows.append(
            [
                case.about,
                *(_cost(case, results, loop) for loop in loops),
                _format("ratio", results.ratio(case.name, "fluvial", "asyncio", "speed")),
                f"{value:.2f}",
                f"≥ {case.target:g}",
                "met" if value >= case.target else "MISSED",
            ]
        )
    return table(["what", *loops, "x asyncio", "x uvloop", "target", ""], rows)


def _cost(case: LoopCase, results: Results, loop: str) -> str:
    """CPU µs, wall µs, or KiB, whatever a case is judged by."""
    memory = results.figure(case.name, loop, "conn_kib")
    if memory is not None:
        return f"{memory:.2f} KiB"
    speed = results.figure(case.name, loop, "speed")
    return "-" if speed is None else f"{1e6 / speed:.2f} µs"


def _format(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return _FORMATS.get(name, "{:.2f}").format(value)


def table(head: list[str], rows: list[list[str]], left: int = 1) -> str:
    """A Markdown table, padded for the terminal; the first `left` columns to the left."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]

    def line(cells: list[str]) -> str:
        padded = (
            cell.ljust(widths[i]) if i < left else cell.rjust(widths[i])
            for i, cell in enumerate(cells)
        )
        return f"| {' | '.join(padded)} |"

    return "\n".join([line(head), line(rule), *(line(row) for row in rows)])
