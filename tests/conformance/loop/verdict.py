"""Judges what a group of tests gave: which tests count, and which of those passed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import left_out

if TYPE_CHECKING:
    import groups
    import report


@dataclass(slots=True)
class Result:
    """What a process that ran a group left behind."""

    group: groups.Group
    tests: list[report.Test]
    seconds: float
    # Why it did not come to its end, with the last it printed; empty when it did.
    broken: str = ""


@dataclass(slots=True)
class Verdict:
    """What is said of a group."""

    group: groups.Group
    seconds: float
    broken: str
    passed: int = 0
    # Tests that fail here on asyncio's own loop, too: the machine's fault, or its load's.
    excused: int = 0
    failed: list[report.Test] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    # Whatever the figures, these are errors.
    wrong: list[str] = field(default_factory=list)
    # How many pass on asyncio's own loop, where that is known.
    reference: int | None = None

    @property
    def counted(self) -> int:
        return self.passed + len(self.failed)

    def forgive(self, second: Verdict) -> None:
        """Takes the outcome of a second try at what failed."""
        failed = {test.name for test in second.failed}
        passed = [test.name for test in self.failed if test.name not in failed]
        if second.broken or second.counted != len(self.failed):
            return
        self.notes += [f"passed at the second try: {name}" for name in passed]
        self.failed = second.failed
        self.passed += len(passed)


def of(result: Result, loop: str) -> Verdict:
    """The verdict on `loop`, a key of substitute.LOOPS."""
    verdict = Verdict(result.group, result.seconds, result.broken)
    if result.broken:
        verdict.wrong.append("the process did not come to its end")
    judge = _judge_cpython if result.group.suite == "cpython" else _judge_anyio
    judge(verdict, [test for test in result.tests if test.outcome != "skipped"], loop)
    return verdict


def _judge_cpython(verdict: Verdict, tests: list[report.Test], loop: str) -> None:
    reasons: Counter[str] = Counter()
    for test in tests:
        why = left_out.reason(verdict.group.name, test.name)
        if why is not None and loop == "fluvial":
            reasons[why] += 1
            if test.outcome == "passed":
                verdict.wrong.append(f"{test.name} passes: take it out of left_out.py")
        elif test.stock:
            test.text += f"made {test.stock} loop(s) of asyncio's own"
            verdict.failed.append(test)
        elif test.outcome == "failed":
            verdict.failed.append(test)
        elif test.judged:
            verdict.passed += 1
    verdict.notes += [f"left out: {count}: {why}" for why, count in reasons.items()]


def _judge_anyio(verdict: Verdict, tests: list[report.Test], _loop: str) -> None:
    """anyio's tests ran on asyncio's loop, too: ours must pass what that passes."""
    stock = {test.name for test in tests if _split(test) == "asyncio" and test.outcome == "passed"}
    verdict.reference = len(stock)
    ours = [test for test in tests if _split(test) == "fluvial"]
    for test in ours:
        if test.outcome == "passed":
            verdict.passed += 1
        elif test.name.removesuffix("fluvial]") + "asyncio]" in stock:
            verdict.failed.append(test)
        else:
            verdict.excused += 1
            verdict.notes.append(f"fails on asyncio's own loop, too: {test.name}")
    if ours and not any(test.judged for test in ours):
        verdict.wrong.append("no loop of ours was made")


def _split(test: report.Test) -> str:
    """Which loop a test of anyio's ran on."""
    return test.name.rsplit("[", 1)[-1].rstrip("]").rsplit("-", 1)[-1]
