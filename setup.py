"""Builds fluvial._core: every file of ext/, with llhttp and libuv linked in (ADR 5).

Everything that is fixed about the project stands in pyproject.toml. Environment variables:

    FLUVIAL_DEBUG=1                      -O0, assertions on
    FLUVIAL_COVERAGE=1                   -O0, counts for gcov which lines are executed
    FLUVIAL_SANITIZE=address,undefined   with sanitizers, assertions on
    FLUVIAL_LTO=0 or 1                   link-time optimisation; default: only in what is
                                         installed for good, since it costs seconds
    FLUVIAL_WERROR=1                     warnings in ext/ stop the build
    FLUVIAL_PROBES=0 or 1                static probes for tracers (ext/base/probe.h); default:
                                         where the compiler finds <sys/sdt.h>
    FLUVIAL_LIBUV=system                 the system's libuv (pkg-config) instead of our own
    FLUVIAL_VENDOR_CACHE=DIR             keep downloaded sources, and the documentation pages'
                                         scripts (scripts/docs_assets.py), here
    CC, AR, CFLAGS, LDFLAGS, PKG_CONFIG  as everywhere
"""

from __future__ import annotations

import filecmp
import os
import platform
import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

import docs_assets  # noqa: E402
import native  # noqa: E402
import vendor  # noqa: E402

BUILD = ROOT / "build"
EXPORTS = ROOT / "ext" / "fluvial.map"

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Wstrict-prototypes"]
OURS = ["-std=c11", "-fPIC", "-fvisibility=hidden", *WARNINGS, "-I", str(ROOT / "ext")]
THEIRS = ["-std=gnu11", "-fPIC", "-fvisibility=hidden", "-w"]

# Older ones run timers at another point of the iteration, and loops wait for ever.
LIBUV_MINIMUM = "1.46"
# What WebSockets are compressed with; older ones have known holes.
ZLIB_MINIMUM = "1.2.12"
OPENSSL_MINIMUM = "3.0"


class Core:
    """One build of the extension: one Python, one flavour, one folder under build/."""

    def __init__(self, *, in_place: bool) -> None:
        self.system = native.this_system()
        self.tools = native.Toolchain()
        self.flavour = self._flavour(in_place)
        python = f"{sys.implementation.name}-{platform.python_version()}{sys.abiflags}"
        self.werror = native.is_on(os.environ.get("FLUVIAL_WERROR"))
        name = f"{self.flavour.name}-werror" if self.werror else self.flavour.name
        self.folder = BUILD / f"{python}-{platform.machine()}-{name}"
        self.static = BUILD / "static" / f"{platform.machine()}-{self.flavour.name}"

    def _flavour(self, in_place: bool) -> native.Flavour:
        best = native.Flavour.from_environment(os.environ, optimise=not in_place)
        if best.name != "release-lto" or self.tools.accepts(best.cflags):
            return best
        print("fluvial: this compiler has no link-time optimisation", file=sys.stderr)
        return native.Flavour.from_environment({"FLUVIAL_LTO": "0"}, optimise=False)

    def build(self) -> Path:
        """Brings the shared object up to date and returns its path."""
        include, libraries = self._libraries()
        flags = [*OURS, *self.flavour.cflags, *include, *native.python_flags()]
        if self.werror:
            flags.append("-Werror")
        if self._has_probes():
            flags.append("-DFLUVIAL_PROBES")
        objects = {}
        for source in sorted((ROOT / "ext").rglob("*.c")):
            name = source.relative_to(ROOT / "ext").with_suffix(".o")
            objects[self.folder / name] = (source, flags)
        self.tools.describe(BUILD / "compile_commands.json", objects)
        self.tools.compile(objects)
        target = self.folder / "_core.so"
        inputs = [str(path) for path in objects]
        inputs += [path for path in libraries if not path.startswith("-")]
        flags = [
            *self.system.shared,
            self.system.exports.format(EXPORTS),
            *self.flavour.ldflags,
            *(path for path in libraries if path.startswith("-")),
        ]
        self.tools.link(target, inputs, flags, script=EXPORTS)
        return target

    def _has_probes(self) -> bool:
        """Asked anew in each build: a header that was installed since changes the command lines."""
        wanted = os.environ.get("FLUVIAL_PROBES")
        if wanted is None:
            return self.tools.finds("sys/sdt.h")
        return native.is_on(wanted)

    def _libraries(self) -> tuple[list[str], list[str]]:
        """(compiler flags, archives and linker flags) of what the core stands on."""
        llhttp = vendor.fetch("llhttp")
        http = self._archive(
            "llhttp", llhttp / "src", vendor.LLHTTP_SOURCES, ["-I", llhttp / "include"]
        )
        zlib_flags, zlib = native.pkg_config("zlib", ZLIB_MINIMUM, "zlib1g-dev")
        ssl_flags, ssl = native.pkg_config("openssl", OPENSSL_MINIMUM, "libssl-dev")
        include = ["-isystem", str(llhttp / "include"), *zlib_flags, *ssl_flags]
        system = [*zlib, *ssl]
        if os.environ.get("FLUVIAL_LIBUV") == "system":
            uv_flags, uv_libraries = native.pkg_config("libuv", LIBUV_MINIMUM, "libuv1-dev")
            return [*include, *uv_flags], [http, *uv_libraries, *system]
        libuv = vendor.fetch("libuv")
        flags = native.libuv_flags(libuv, self.system)
        sources = (*vendor.LIBUV_SOURCES, *self.system.libuv_sources)
        uv = self._archive("libuv", libuv / "src", sources, flags)
        include += ["-isystem", str(libuv / "include")]
        return include, [http, uv, *self.system.libuv_libraries, *system]

    def _archive(
        self, name: str, folder: Path, sources: tuple[str, ...], flags: list[str | Path]
    ) -> str:
        command = [*THEIRS, *self.flavour.vendor_cflags, *map(str, flags)]
        objects = {
            (self.static / name / source).with_suffix(".o"): (folder / source, command)
            for source in sources
        }
        self.tools.compile(objects)
        target = self.static / f"{name}.a"
        self.tools.archive(target, objects)
        return str(target)


class BuildExt(build_ext):
    """setuptools' command; the work is done by Core."""

    def run(self) -> None:
        self.in_place = bool(self.inplace or self.editable_mode)
        docs_assets.install()
        super().run()

    def build_extension(self, ext: Extension) -> None:
        try:
            built = Core(in_place=self.in_place).build()
        except (native.BuildError, vendor.VendorError) as error:
            raise CompileError(str(error)) from None
        _install(built, Path(self.get_ext_fullpath(ext.name)))

    def copy_extensions_to_source(self) -> None:
        """What --inplace and editable installs do after the build."""
        for ext in self.extensions:
            built = Path(self.build_lib, self.get_ext_filename(ext.name))
            _install(built, Path(self.get_ext_fullpath(ext.name)))


class BuildPy(build_py):
    """setuptools' command, once the pages' scripts are where it looks for files."""

    def finalize_options(self) -> None:
        docs_assets.install()
        super().finalize_options()


class Sdist(sdist):
    """setuptools' command, with the pages' scripts, for builds without npm or the network."""

    def run(self) -> None:
        docs_assets.install()
        super().run()


def _install(built: Path, target: Path) -> None:
    """Copies by renaming: a process may be running from the old file."""
    if not target.is_file() or not filecmp.cmp(built, target, shallow=False):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(".new")
        shutil.copy2(built, scratch)
        os.replace(scratch, target)


setup(
    ext_modules=[Extension("fluvial._core", sources=[])],
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy, "sdist": Sdist},
)
