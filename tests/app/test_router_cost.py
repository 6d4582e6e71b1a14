"""What a look-up costs: as many instructions, by valgrind's count, for 3,000 routes as for 17."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fluvial import _core

ROUNDS = 100

SCRIPT = """
import importlib.util
import sys

# The extension alone: under valgrind every import takes its time.
spec = importlib.util.spec_from_file_location("_core", sys.argv[3])
_core = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_core)

router = _core.Router()
plan = _core.Plan(print, kind=_core.INLINE)
router.add(("GET",), "/async", plan)
router.add(("GET",), "/items/{item_id}", plan)
for i in range(int(sys.argv[1])):
    router.add(("GET",), f"/api/v{i % 7}/things{i}/{{id:int}}/parts{i}", plan)
    router.add(("GET",), f"/{{tenant}}/things{i}", plan)
    router.add(("POST",), f"/things{i}", plan)
for _ in range(int(sys.argv[2])):
    for path in ("/async", "/items/17", "/api/v3/things3/17/parts3", "/absent"):
        router.find("GET", path)
"""


def instructions(routes: int, folder: Path) -> float:
    """Instructions of Router.find for one round of paths; router_find may be inlined into it."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=router_type_find*"]
    command.append(f"--callgrind-out-file={folder}/out")
    script = [sys.executable, "-S", "-c", SCRIPT, str(routes), str(ROUNDS), _core.__file__]
    done = subprocess.run([*command, *script], capture_output=True, text=True, check=True)
    collected = re.search(r"Collected *: *(\d+)", done.stderr)
    assert collected is not None, done.stderr
    return int(collected[1]) / ROUNDS


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is not installed")
@pytest.mark.skipif("LD_PRELOAD" in os.environ, reason="a sanitizer is loaded")
@pytest.mark.timeout(600)  # valgrind takes 18 s of CPU time to import what 3.14's asyncio imports
def test_a_look_up_costs_the_same_for_any_number_of_routes(tmp_path: Path) -> None:
    few = instructions(5, tmp_path)
    many = instructions(1_000, tmp_path)
    assert 200 < few < 10_000
    assert many < 1.5 * few
