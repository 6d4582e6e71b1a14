"""Packages on top of FastAPI, unmodified, on Fluvial: each program checks itself."""

from __future__ import annotations

import re
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
    lacks = re.search(r"ModuleNotFoundError: No module named '(\w+)", done.stderr)
    if lacks and lacks[1] not in ("fastapi", "starlette", "fluvial"):
        pytest.skip(f"{lacks[1]} is not installed (the extra test-apps)")
    assert done.returncode == 0, done.stderr
