"""What would be skipped fails in CI."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent

MODULE = """
import pytest
pytest.importorskip("no_such_package")
def test_never(): ...
"""

FUNCTIONS = """
import pytest
@pytest.mark.skipif(True, reason="valgrind is not installed")
def test_mark(): ...
def test_call():
    pytest.skip("no PostgreSQL here")
@pytest.fixture
def needed():
    pytest.importorskip("no_such_package")
def test_fixture(needed): ...
@pytest.mark.skipif(True, reason="the sanitizer keeps freed memory")
def test_sanitizer(): ...
@pytest.mark.skipif(True, reason="new in 3.13")
def test_version(): ...
@pytest.mark.xfail(reason="known")
def test_known():
    raise AssertionError
def test_passes(): ...
"""


def outcomes(folder: Path, ci: str | None) -> dict[str, int]:
    """How many of the tests failed, were skipped …, by what pytest says at its end."""
    (folder / "test_module.py").write_text(MODULE)
    (folder / "test_functions.py").write_text(FUNCTIONS)
    env = {name: value for name, value in os.environ.items() if name != "CI"}
    env |= {"PYTHONPATH": f"{TESTS}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    env |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"} | ({} if ci is None else {"CI": ci})
    command = [sys.executable, "-m", "pytest", "-p", "support.skips", "-p", "no:cacheprovider"]
    command += ["--continue-on-collection-errors", "--rootdir", str(folder), str(folder)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1]
    found = {kind: int(n) for n, kind in re.findall(r"(\d+) (failed|skipped|error|passed)", last)}
    assert found, done.stdout + done.stderr
    return found


def test_in_ci_only_reasons_on_the_list_are_skipped(tmp_path: Path) -> None:
    """Of a module, by a mark, in a test and in a fixture."""
    found = outcomes(tmp_path, "true")
    assert (found["skipped"], found["passed"]) == (2, 1)
    assert found["failed"] + found["error"] == 4


@pytest.mark.parametrize("ci", [None, ""])
def test_elsewhere_they_are_skipped(tmp_path: Path, ci: str | None) -> None:
    assert outcomes(tmp_path, ci) == {"skipped": 6, "passed": 1}
