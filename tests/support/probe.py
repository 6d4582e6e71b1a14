"""Compiles probe.c and loads it: the tests' way to C functions that have no Python face."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import native  # noqa: E402
import vendor  # noqa: E402

TESTED = (
    *("base/buf.c", "base/text.c", "pool/busy_limit.c"),
    *("app/bind/number.c", "app/bind/query_string.c"),
)


def _is_sanitized() -> bool:
    return "libasan" in os.environ.get("LD_PRELOAD", "")


def load(folder: Path) -> ModuleType:
    """Builds into `folder`, with sanitizers when the tests run under them."""
    flags = ["-std=c11", "-fPIC", "-shared", "-g", "-O1", "-fvisibility=hidden"]
    if _is_sanitized():
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-I", str(ROOT / "ext"), "-isystem", str(vendor.fetch("libuv") / "include")]
    flags += native.python_flags()
    sources = [Path(__file__).with_suffix(".c"), *(ROOT / "ext" / name for name in TESTED)]
    target = folder / "probe.so"
    command = [*native.Toolchain().cc, *flags, "-o", target, *sources]
    # The compiler need not run under the sanitizer: it would take ten times as long.
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    subprocess.run(command, env=env, check=True)
    spec = importlib.util.spec_from_file_location("probe", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
