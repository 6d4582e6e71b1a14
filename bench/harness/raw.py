"""Builds raw/raw.c, the limit, against the llhttp and libuv of the extension.

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
    folder = BUILD / "static" / f"{platform.machine()}-release"
    archives = [str(folder / f"{name}.a") for name in ("llhttp", "libuv")]
    missing = [path for path in archives if not Path(path).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{missing[0]}: build the extension first (make, or pip install -e .)"
        )
    tools = native.Toolchain()
    target = BUILD / "bench" / "raw"
    system = native.this_system()
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wshadow", "-Wstrict-prototypes"]
    flags += [f"-D{define}" for define in system.libuv_defines]
    for name in ("llhttp", "libuv"):
        flags += ["-isystem", str(vendor.fetch(name) / "include")]
    obj = target.with_suffix(".o")
    tools.compile({obj: (SOURCE, flags)})
    inputs = [str(obj), *archives]
    tools.link(target, inputs, list(system.libuv_libraries), script=SOURCE)
    return target
