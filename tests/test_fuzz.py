"""What of fuzz/ needs no clang: that the fuzzers still fit the core, and that there are seeds."""

from __future__ import annotations

import gzip
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import fluvial._core
import pytest
from support import needs

ROOT = Path(__file__).resolve().parent.parent


def load() -> ModuleType:
    """fuzz/run.py, under another name than that of other folders' run.py."""
    spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "fuzz" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fuzz = load()
seeds = fuzz.seeds


@pytest.mark.parametrize("name", ["app", "http", "coded", pytest.param("h2", marks=needs.HTTP2)])
def test_the_fuzzers_compile(name: str) -> None:
    include = [fuzz.vendor.fetch(library) / "include" for library in ("llhttp", "libuv")]
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    flags += fuzz.core_flags(include, fuzz.native.http2() or ([], []))
    command = [*fuzz.native.Toolchain().cc, *flags, str(ROOT / "fuzz" / f"{name}.c")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", seeds.SEEDS)
def test_seeds_are_many_and_small(name: str) -> None:
    found = seeds.SEEDS[name]()
    assert len(set(found)) > 50
    assert sorted(map(len, found))[len(found) * 9 // 10] < 1000


def test_what_compressed_seeds_stand_for() -> None:
    """The fuzzer takes them for bodies; the other codings' come from our own encoder."""
    assert gzip.decompress(seeds.CODED[0]) == b"hello " * 4
    for number, coding in ((1, "br"), (2, "zstd")):
        if coding in fluvial._core.CODINGS:
            encoder = fluvial._core.Encoder(coding, 5)
            assert encoder.finish(b"hello " * 4) == seeds.CODED[number]
