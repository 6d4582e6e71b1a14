"""A plugin of pytest's: the tests run on the loop that CONFORMANCE_LOOP names, and what became of
each is written to CONFORMANCE_REPORT, a line of JSON for each.

The loop is put in place by asyncio's policy, as `uvloop.install()` does; the plugin is loaded with
`-p`, before any test is imported.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

LOOPS = {"fluvial": "fluvial:Loop", "uvloop": "uvloop:new_event_loop"}


def _install(name: str) -> None:
    module, _, attribute = LOOPS[name].partition(":")
    make = getattr(importlib.import_module(module), attribute)

    class Policy(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self) -> asyncio.AbstractEventLoop:
            return make()  # type: ignore[no-any-return]

    asyncio.set_event_loop_policy(Policy())


with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # policies, from Python 3.14
    _install(os.environ["CONFORMANCE_LOOP"])

_outcomes: dict[str, str] = {}
_in_worker = False


def pytest_configure(config: Any) -> None:
    global _in_worker
    _in_worker = hasattr(config, "workerinput")  # of pytest-xdist; the first process hears of all


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        _outcomes[report.nodeid] = "failed"
    elif report.skipped:
        _outcomes.setdefault(report.nodeid, "skipped")
    elif report.when == "call":
        _outcomes.setdefault(report.nodeid, "passed")


def pytest_sessionfinish() -> None:
    if not _in_worker:
        lines = (json.dumps(pair) + "\n" for pair in _outcomes.items())
        Path(os.environ["CONFORMANCE_REPORT"]).write_text("".join(lines))
