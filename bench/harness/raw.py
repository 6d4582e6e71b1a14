"""Builds the C programs of raw/: the limit, against the extension's llhttp and libuv, and load
for echo and HTTP servers.

`native` and `vendor` are the build's own modules, in scripts/.
"""

from __future__ import annotations

import platform
from pathlib import Path

import native
import vendor

ROOT = Path(__file__).resolve().parent.parent.parent
BUILD = ROOT / "build"
SOURCE = ROOT / "bench" / "raw" / "raw.c"


def build_raw() -> Path:
    """Returns the executable, compiled anew when raw.c or an archive changed."""
    flavour, archives = _archives()
    tools = native.Toolchain()
    target = BUILD / "bench" / "raw"
    system = native.this_system()
    flags = ["-std=c11", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes", *flavour.cflags]
    flags += [f"-D{define}" for define in system.libuv_defines]
    for name in ("llhttp", "libuv"):
        flags += ["-isystem", str(vendor.fetch(name) / "include")]
    obj = target.with_suffix(".o")
    inputs = [str(obj), *archives]
    with native.alone(target):
        tools.compile({obj: (SOURCE, flags)})
        tools.link(target, inputs, [*flavour.ldflags, *system.libuv_libraries], script=SOURCE)
    return target


def build_echo_load() -> Path:
    """Returns the executable of echo_load.c, compiled anew when that changed."""
    return _build_load("echo_load", "-lssl", "-lcrypto")


def build_http_load() -> Path:
    """Returns the executable of http_load.c, compiled anew when that changed."""
    return _build_load("http_load")


def _build_load(name: str, *libraries: str) -> Path:
    tools = native.Toolchain()
    target = BUILD / "bench" / name
    source = SOURCE.with_name(f"{name}.c")
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes"]
    obj = target.with_suffix(".o")
    with native.alone(target):
        tools.compile({obj: (source, flags)})
        tools.link(target, [str(obj)], list(libraries), script=source)
    return target


def _archives() -> tuple[native.Flavour, list[str]]:
    """llhttp and libuv as the extension was built with them, best optimised if there are both."""
    for optimise in (True, False):
        flavour = native.Flavour.from_environment({}, optimise=optimise)
        folder = BUILD / "static" / f"{platform.machine()}-{flavour.name}"
        archives = [folder / f"{name}.a" for name in ("llhttp", "libuv")]
        if all(path.is_file() for path in archives):
            return flavour, [str(path) for path in archives]
    raise FileNotFoundError(f"{archives[0]}: build the extension first (make build)")
