"""Names what a build needs and the machine lacks: all of it at once, in one line.

`check()` comes first in a build, so that whoever installs from source reads one line, the last one,
instead of meeting one failure after the other. Without a compiler, headers are looked for where
Debian puts them.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import native

INCLUDE = (Path("/usr/include"), Path("/usr/local/include"))


@dataclass(frozen=True, slots=True)
class Lack:
    """One thing that isn't there, and the Debian packages that bring it."""

    what: str
    packages: tuple[str, ...]


def check(libraries: Iterable[native.Library]) -> None:
    """Raises BuildError if something is missing."""
    lacks = list(_lacks(libraries))
    if lacks:
        packages = dict.fromkeys(package for lack in lacks for package in lack.packages)
        raise native.BuildError(
            f"Fluvial can't be compiled: missing {', '.join(lack.what for lack in lacks)} "
            f"(Debian: apt-get install {' '.join(packages)})"
        )


def _lacks(libraries: Iterable[native.Library]) -> Iterator[Lack]:
    compiler = native.find_command("CC", "cc")
    if compiler is None:
        yield Lack("a C compiler", ("gcc", "libc6-dev"))
    elif not native.finds_header(compiler, "stdlib.h"):
        yield Lack("the C library's headers", ("libc6-dev",))
    if native.find_command("AR", "ar") is None:
        yield Lack("ar", ("binutils",))
    if not native.python_include():
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        yield Lack(f"Python.h of {sys.executable}", (f"python{version}-dev",))
    tool = shutil.which(native.pkg_config_tool())
    if tool is None:
        yield Lack(native.pkg_config_tool(), ("pkg-config",))
    for library in libraries:
        found = _version(tool, library) if tool else _has_header(compiler, library.header)
        if not found:
            yield Lack(f"{library.name} >= {library.minimum}", (library.debian,))
        elif isinstance(found, str):
            yield Lack(f"{library.name} >= {library.minimum} (found {found})", (library.debian,))


def _version(tool: str, library: native.Library) -> bool | str:
    """Whether pkg-config knows the library; its version, where that is too old."""
    if native.has_library(library):
        return True
    command = [tool, "--modversion", library.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else False


def _has_header(compiler: list[str] | None, header: str) -> bool:
    """Whether a header is there, of whatever version, where there is no pkg-config."""
    if compiler is not None and native.finds_header(compiler, "stdlib.h"):
        return native.finds_header(compiler, header)
    folders = [*INCLUDE, INCLUDE[0] / (sysconfig.get_config_var("MULTIARCH") or ".")]
    folders += map(Path, os.environ.get("CPATH", "").split(os.pathsep))
    return any((folder / header).is_file() for folder in folders)
