"""What a process that runs others' tests tells the one that started it: a file of JSON lines.

A test gives a line as it starts and one as it ends, so that the reader knows what a process died
of; the last line says that there was nothing more to run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

Outcome = Literal["passed", "failed", "skipped"]


@dataclass(slots=True)
class Test:
    """One test that has ended."""

    name: str
    outcome: Outcome
    # A traceback, or the reason of a skip.
    text: str = ""
    # How many loops it made: of the class that is judged, and asyncio's own.
    judged: int = 0
    stock: int = 0


@dataclass(slots=True)
class Report:
    """What was read back."""

    tests: list[Test] = field(default_factory=list)
    running: str | None = None
    complete: bool = False


class Writer:
    """Writes a report; every line reaches the file at once, whatever the process dies of."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)

    def start(self, name: str) -> None:
        self._write({"start": name})

    def end(self, test: Test) -> None:
        self._write(asdict(test))

    def complete(self) -> None:
        self._write({"complete": True})

    def _write(self, line: dict[str, object]) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")


def read(path: Path) -> Report:
    """Reads what has been written, however far the writer came."""
    report = Report()
    for line in _lines(path):
        if "start" in line:
            report.running = line["start"]
        elif "complete" in line:
            report.complete = True
        else:
            report.running = None
            report.tests.append(Test(**line))
    return report


def _lines(path: Path) -> Iterator[dict]:
    if path.is_file():
        for line in path.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)
