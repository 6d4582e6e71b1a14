"""What of fuzz/ needs no clang: that http.c still fits the core, and that there are seeds."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "fuzz" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_target_compiles(fuzz: ModuleType) -> None:
    headers = [fuzz.vendor.fetch(name) for name in ("llhttp", "libuv")]
    flags = fuzz.ours(*headers, ("-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"))
    cc = fuzz.native.Toolchain().cc
    command = [*cc, *flags, str(ROOT / "fuzz" / "http.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_seeds_are_many_and_small(fuzz: ModuleType) -> None:
    seeds = [*fuzz.websockets(), *fuzz.requests()]
    assert len(set(seeds)) == len(seeds) > 50
    assert max(map(len, seeds)) < 1000
