"""In CI nothing may be skipped but for a reason that stands here: a plug-in of pytest's.

A package that is missing, a program or a system that is another one would otherwise take tests away
without a word. CI is where the environment variable CI is set.
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# Of each reason it is said why CI may accept it.
ALLOWED = (
    # Both flavours are run, and each skips what is meant for the other.
    r"\bsanitizer\b",
    r"not `make asan`",
    # Each Python is run, and some things are only in others.
    r"\b3\.1\d\b",
    r"this Python's \w+\(\) has no \w+",
    # Becoming somebody else, in CI as on a developer's machine.
    r"^only root can",
    # The machine's network is none of our business.
    r"this machine has no IPv6",
    # The check of commits passes where there is none.
    r"git isn't installed",
    # What asyncio itself can't do is tried on our loop alone.
    r"asyncio gives the first 1,000 bytes only",
)


def is_installed(name: str) -> bool:
    """Whether there is such a package or module; nothing is imported."""
    package, *inside = name.split(".")
    spec = importlib.util.find_spec(package)
    places = [] if spec is None else list(spec.submodule_search_locations or ())
    found = (Path(place, *inside) for place in places)
    if not inside:
        return spec is not None
    return any(path.is_dir() or path.with_suffix(".py").is_file() for path in found)


def need(*names: str) -> None:
    """Skips a whole test file where one of these packages is missing.

    pytest.importorskip() would import them in each of pytest's workers: frameworks that only the
    servers need which the tests start.
    """
    for name in names:
        if not is_installed(name):
            pytest.skip(f"could not import {name!r}", allow_module_level=True)


def is_allowed(reason: str) -> bool:
    return any(re.search(pattern, reason) for pattern in ALLOWED)


def refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Makes a failure of a skip that CI must not take."""
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if not skipped or not os.environ.get("CI"):
        return
    longrepr: Any = report.longrepr
    reason = str(longrepr[2] if isinstance(longrepr, tuple) else longrepr)
    if not is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = (
            f"In CI nothing is skipped, save for what tests/support/skips.py says: {reason}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    refuse(report)
    return report
