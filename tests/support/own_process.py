"""Runs a test in a process of its own, where its signals, forks and interrupts meet nobody else.

A module or test says `pytestmark = pytest.mark.own_process`; tests/conftest.py asks here. The child
is a pytest that runs this one test with the project's options, so fixtures, warnings and what
assertions show are as everywhere.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Set in the child: there the test itself is run.
INSIDE = "FLUVIAL_TEST_IN_OWN_PROCESS"

PATIENCE = 110  # seconds; less than pytest-timeout's, so that the child's output is seen


def is_inside() -> bool:
    return INSIDE in os.environ


def run(node: str) -> None:
    """Runs the test of this id. Raises: what pytest takes for a failure or a skip."""
    # Plug-ins that only the whole run needs cost more than most of these tests.
    env = {**os.environ, INSIDE: "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-p", "pytest_timeout", "-p", "no:cacheprovider"]
    child = subprocess.Popen(
        [*command, f"--timeout={PATIENCE - 20}", node],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=PATIENCE)
    except BaseException:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise
    if child.returncode == 0 and re.search(r"\b1 skipped\b", output):
        pytest.skip(output[output.find("SKIPPED") :].partition("\n")[0])
    if child.returncode != 0 or not re.search(r"\b1 (passed|xfailed)\b", output):
        pytest.fail(f"exit status {child.returncode} of\n{output}", pytrace=False)
