"""Runs one file of CPython's own asyncio tests with another loop in place of asyncio's.

    CONFORMANCE_LOOP=fluvial python cpython.py REPORT test_streams [CLASS.METHOD ...]

REPORT is the file that report.py describes; what the tests print goes where this process's output
goes. Only a process of its own will do: asyncio is changed for good.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import left_out
import report
import substitute

# At the top level, for the children that multiprocessing spawns: they import this module again.
COUNT = substitute.install(os.environ["CONFORMANCE_LOOP"])

# Their tests of tasks and futures run on a loop of mocks with a clock of its own, for the most
# part without need.
ON_A_LOOP_OF_MOCKS = ("test_futures", "test_tasks")


class Result(unittest.TestResult):
    """Writes down each test as it begins and ends."""

    def __init__(self, writer: report.Writer) -> None:
        super().__init__()
        self.writer = writer
        self.current = report.Test("", "passed")
        self.made_before = substitute.Count()

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self.current = report.Test(short_name(test), "passed")
        self.made_before = substitute.Count(COUNT.judged, COUNT.stock)
        self.writer.start(self.current.name)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        self.current.judged = COUNT.judged - self.made_before.judged
        self.current.stock = COUNT.stock - self.made_before.stock
        self.writer.end(self.current)

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        if isinstance(test, unittest.TestCase):
            self._failed(test, err)
        else:  # the fixture of a class or module
            self.current = report.Test(str(test), "failed")
            self._failed(test, err)
            self.writer.end(self.current)

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._failed(test, err)

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self._failed(subtest, err)

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self.current.outcome = "failed"
        self.current.text = "marked as an expected failure, and passed"

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        if self.current.outcome == "passed":
            self.current.outcome = "skipped"
            self.current.text = reason

    def _failed(self, test: Any, err: Any) -> None:
        self.current.outcome = "failed"
        self.current.text += self._exc_info_to_string(err, test)  # type: ignore[attr-defined]


def short_name(test: unittest.TestCase) -> str:
    """`Class.method`."""
    return ".".join(test.id().rsplit(".", 2)[1:])


def tests_of(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for part in suite:
        if isinstance(part, unittest.TestSuite):
            yield from tests_of(part)
        else:
            yield part


def use_real_loops() -> None:
    """Has tests that need no clock of their own run on the loop that is judged."""
    import asyncio

    from test.test_asyncio import utils

    new_mocked_loop = utils.TestCase.new_test_loop

    def new_test_loop(self: Any, gen: Any = None) -> Any:
        if gen is not None:
            return new_mocked_loop(self, gen)
        loop = asyncio.new_event_loop()
        self.set_event_loop(loop)
        return loop

    utils.TestCase.new_test_loop = new_test_loop


def main(report_path: str, module: str, *names: str) -> None:
    from test import support

    # Resources are things that a machine may lack or that take long: all but the network.
    support.use_resources = ["subprocess", "cpu", "walltime"]
    faulthandler.enable()
    if module in ON_A_LOOP_OF_MOCKS:
        use_real_loops()
    loaded = unittest.defaultTestLoader.loadTestsFromName(f"test.test_asyncio.{module}")
    chosen = unittest.TestSuite(
        test
        for test in tests_of(loaded)
        if type(test).__name__ not in left_out.SAME_TESTS
        and not left_out.is_endless(module, short_name(test))
        and (not names or short_name(test) in names)
    )
    writer = report.Writer(Path(report_path))
    chosen.run(Result(writer))
    writer.complete()


if __name__ == "__main__":
    main(*sys.argv[1:])
