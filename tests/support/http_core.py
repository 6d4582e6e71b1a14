"""Builds the core with http_probe.c in the place of ext/app, and loads it.

The layers below are compiled with assertions on, and with the sanitizers when the tests run
under them. Incremental, like the build itself; see scripts/native.py.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXT = ROOT / "ext"
sys.path.insert(0, str(ROOT / "scripts"))

import native  # noqa: E402
import vendor  # noqa: E402

LAYERS = ("base", "route", "loop", "pool", "net", "transport", "coding", "http")
FLAGS = ("-std=c11", "-fPIC", "-fvisibility=hidden", "-g", "-O1", "-UNDEBUG")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def _is_sanitized() -> bool:
    return "libasan" in os.environ.get("LD_PRELOAD", "")


def _kind() -> tuple[str, list[str]]:
    """(the name of the flavour, its compiler flags): as the core's that the tests run with."""
    if _is_sanitized():
        return "sanitized", [*SANITIZERS]
    if native.is_on(os.environ.get("FLUVIAL_COVERAGE")):
        return "coverage", [*native.COVERAGE]
    return "plain", []


def _archives() -> list[str]:
    """libuv and llhttp, as the build left them."""
    static = ROOT / "build" / "static"
    names = (
        ["sanitize-address-undefined"] if _is_sanitized() else ["release", "debug", "release-lto"]
    )
    for name in names:
        found = [
            static / f"{platform.machine()}-{name}" / f"{lib}.a" for lib in ("llhttp", "libuv")
        ]
        if all(path.is_file() for path in found):
            return [str(path) for path in found]
    raise native.BuildError(f"no archives in {static} for {names}: make build")


def build() -> Path:
    """Compiles and links what is out of date. Returns the module's path."""
    kind, extra = _kind()
    flags = [*FLAGS, *extra, "-I", str(EXT)]
    for name in ("llhttp", "libuv"):
        flags += ["-isystem", str(vendor.fetch(name) / "include")]
    flags += native.python_flags()
    h2_flags, h2 = native.http2() or ([], [])
    flags += h2_flags
    folder = ROOT / "build" / f"tests-http-{platform.python_version()}-{kind}"
    sources = [EXT / "module.c", Path(__file__).with_name("http_probe.c")]
    for layer in LAYERS:
        for path in sorted((EXT / layer).rglob("*.c")):
            if h2 or not native.is_for_http2(path):
                sources.append(path)
    objects = {
        folder / source.relative_to(ROOT).with_suffix(".o"): (source, flags) for source in sources
    }
    tools = native.Toolchain()
    system = native.this_system()
    exports = EXT / "fluvial.map"
    libraries = ["-lz", "-lssl", "-lcrypto"]
    link = [*system.shared, system.exports.format(exports), *system.libuv_libraries, *libraries]
    link += [*h2, *extra[:1]]
    target = folder / "_core.so"
    archives = _archives()
    with _without_preload(), native.alone(target):
        tools.compile(objects)
        tools.link(target, [*map(str, objects), *archives], link, script=exports)
    return target


@contextlib.contextmanager
def _without_preload() -> Iterator[None]:
    """The compiler need not run under the sanitizer: it would take ten times as long."""
    preload = os.environ.pop("LD_PRELOAD", None)
    try:
        yield
    finally:
        if preload is not None:
            os.environ["LD_PRELOAD"] = preload


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_fluvial(name: str) -> bool:
    return name == "fluvial" or name.startswith("fluvial.")


@cache
def load() -> tuple[ModuleType, type[Any]]:
    """(the module, the Loop class that goes with it)."""
    core = _load("http_probe._core", build())
    package = ModuleType("fluvial")
    package.__path__ = [str(ROOT / "pysrc" / "fluvial")]
    package._core = core  # type: ignore[attr-defined]
    # fluvial.Loop is completed in Python, on top of the core that it imports: all of its modules
    # are loaded anew, and the real ones are put back.
    real = {name: module for name, module in sys.modules.items() if _is_fluvial(name)}
    for name in real:
        del sys.modules[name]
    sys.modules.update({"fluvial": package, "fluvial._core": core})
    try:
        loop = importlib.import_module("fluvial._loop").Loop
    finally:
        for name in [name for name in sys.modules if _is_fluvial(name)]:
            del sys.modules[name]
        sys.modules.update(real)
    return core, loop
