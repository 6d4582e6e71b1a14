"""Packages on top of FastAPI, unmodified, on Fluvial: each program checks itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "packages").glob("*.py"))
RUN = """
import runpy, sys
import fluvial.compat
fluvial.compat.install()
runpy.run_path(sys.argv[1], run_name=sys.argv[2])
assert sys.modules["fastapi"].FastAPI.__module__.startswith("fluvial.")
"""


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.stem)
def test_it_works(program: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(program), program.stem]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
