"""A pytest plugin for anyio's own tests: each runs on asyncio's loop and on Fluvial's.

    CONFORMANCE_REPORT=FILE python -m pytest -p anyio_plugin ...

The file is what report.py describes; a test's name there ends in [..asyncio] or [..fluvial].
Tests that no event loop backend is a parameter of are not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import fluvial
import pytest
import report

STOCK = pytest.param(("asyncio", {"debug": True}), id="asyncio")


class Backends:
    """Gives the tests their backends, and writes down what became of each."""

    def __init__(self, writer: report.Writer) -> None:
        self.writer = writer
        self.made = 0
        self.ours = pytest.param(
            ("asyncio", {"debug": True, "loop_factory": self.new_loop}), id="fluvial"
        )
        self.made_before = 0
        self.test = report.Test("", "passed")

    def new_loop(self) -> fluvial.Loop:
        self.made += 1
        return fluvial.Loop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Puts ours in place of anyio's own choice, which stands in the fixture's parameters or,
        for what concerns asyncio alone, in a marker that holds a list of theirs."""
        params = [STOCK, self.ours]
        for marker in metafunc.definition.iter_markers("parametrize"):
            if marker.args[0] == "anyio_backend":
                theirs = marker.args[1]
                if any(getattr(param, "id", None) == STOCK.id for param in theirs):
                    theirs[:] = params
                return
        if "anyio_backend" in metafunc.fixturenames:
            mark = pytest.mark.parametrize("anyio_backend", params, indirect=True)
            metafunc.definition.add_marker(mark)

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        backends = (STOCK.values[0], self.ours.values[0])
        chosen = [
            item
            for item in items
            if isinstance(item, pytest.Function)
            and hasattr(item, "callspec")
            and item.callspec.params.get("anyio_backend") in backends
        ]
        config.hook.pytest_deselected(items=list(set(items) - set(chosen)))
        items[:] = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.test = report.Test(item.nodeid, "passed")
        self.made_before = self.made
        self.writer.start(item.nodeid)
        try:
            return (yield)
        finally:
            self.test.judged = self.made - self.made_before
            self.writer.end(self.test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.test.outcome = "failed"
            self.test.text += f"{report.longreprtext}\n"
        elif report.skipped and self.test.outcome == "passed":
            self.test.outcome = "skipped"

    def pytest_sessionfinish(self) -> None:
        self.writer.complete()


def pytest_configure(config: pytest.Config) -> None:
    writer = report.Writer(Path(os.environ["CONFORMANCE_REPORT"]))
    config.pluginmanager.register(Backends(writer), "fluvial-backends")
