"""Builds fluvial._core: every file of ext/, with llhttp and libuv linked in (ADR 5).

Everything that is fixed about the project stands in pyproject.toml. Environment variables:

    FLUVIAL_DEBUG=1                      -O0, assertions on
    FLUVIAL_COVERAGE=1                   -O0, counts for gcov which lines are executed
    FLUVIAL_SANITIZE=address,undefined   with sanitizers, assertions on
    FLUVIAL_LTO=0 or 1                   link-time optimisation; default: only in what is
                                         installed for good, since it costs seconds
    FLUVIAL_WERROR=1                     warnings in ext/ stop the build
    FLUVIAL_PORTABLE=1                   what other systems than Linux get (`make portable`)
    FLUVIAL_PROBES=0 or 1                static probes for tracers (ext/base/probe.h); default:
                                         where the compiler finds <sys/sdt.h>
    FLUVIAL_BROTLI=0 or 1, FLUVIAL_ZSTD=0 or 1
                                         the content codings br and zstd; default: where
                                         pkg-config finds their libraries
    FLUVIAL_HTTP2=0, 1 or own            HTTP/2, by the nghttp2 that pkg-config finds, or by its own
                                         source (scripts/crates.py), which `own` asks for; default:
                                         wherever one of them can be had
    FLUVIAL_LIBUV=system                 the system's libuv (pkg-config) instead of our own
    FLUVIAL_PYTHON_HEADERS=DIR           the headers of the Python that is built for
    FLUVIAL_TARGET=PYTHON-SYSTEM         what is built for, where that isn't this Python here: names
                                         the folders under build/ (scripts/wheels.py)
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
from setuptools.errors import CompileError, ExecError

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "scripts"))

import crates  # noqa: E402
import docs_assets  # noqa: E402
import missing  # noqa: E402
import native  # noqa: E402
import vendor  # noqa: E402

BUILD = ROOT / "build"
EXPORTS = ROOT / "ext" / "fluvial.map"

WARNINGS = ["-Wall", "-Wextra", "-Wshadow", "-Wvla", "-Wstrict-prototypes"]
OURS = ["-std=c11", "-fPIC", "-fvisibility=hidden", *WARNINGS, "-I", str(ROOT / "ext")]
THEIRS = ["-std=gnu11", "-fPIC", "-fvisibility=hidden", "-w"]

# Older ones run timers at another point of the iteration, and loops wait for ever.
LIBUV = native.Library(name="libuv", minimum="1.46", header="uv.h", debian="libuv1-dev")
# What WebSockets are compressed with; older ones have known holes.
ZLIB = native.Library(name="zlib", minimum="1.2.12", header="zlib.h", debian="zlib1g-dev")
OPENSSL = native.Library(name="openssl", minimum="3.0", header="openssl/ssl.h", debian="libssl-dev")
SYSTEM_LIBUV = os.environ.get("FLUVIAL_LIBUV") == "system"


class Core:
    """One build of the extension: one Python, one flavour, one folder under build/."""

    def __init__(self, *, in_place: bool) -> None:
        self.system = native.this_system()
        self.http2 = native.http2()
        self.own_http2 = native.own_http2(crates.has_nghttp2)
        self.tools = native.Toolchain()
        self.flavour = self._flavour(in_place)
        self.werror = native.is_on(os.environ.get("FLUVIAL_WERROR"))
        self.portable = native.is_on(os.environ.get("FLUVIAL_PORTABLE"))
        name = f"{self.flavour.name}-werror" if self.werror else self.flavour.name
        name += "-portable" if self.portable else ""
        python = f"{sys.implementation.name}-{platform.python_version()}{sys.abiflags}"
        target = os.environ.get("FLUVIAL_TARGET")
        self.folder = BUILD / f"{target or f'{python}-{platform.machine()}'}-{name}"
        # A target is called after its Python, which these know nothing of.
        system = target.partition("-")[2] if target else platform.machine()
        self.static = BUILD / "static" / f"{system}-{self.flavour.name}"

    def _flavour(self, in_place: bool) -> native.Flavour:
        best = native.Flavour.from_environment(os.environ, optimise=not in_place)
        for flavour in (best, best.with_plain_lto()):
            if best.name != "release-lto" or self.tools.accepts(flavour.cflags):
                return flavour
        print("fluvial: this compiler has no link-time optimisation", file=sys.stderr)
        return native.Flavour.from_environment({"FLUVIAL_LTO": "0"}, optimise=False)

    def build(self) -> Path:
        """Brings the shared object up to date, when no other build does; returns its path."""
        with native.alone(self.folder / "build"):
            return self._build()

    def _build(self) -> Path:
        include, libraries = self._libraries()
        flags = [*OURS, *self.flavour.cflags, *include, *native.python_flags()]
        if self.werror:
            flags.append("-Werror")
        if self.portable:
            flags.append("-DFLUVIAL_PORTABLE")
        if self._has_probes():
            flags.append("-DFLUVIAL_PROBES")
        objects = {}
        for source in sorted((ROOT / "ext").rglob("*.c")):
            if not (self.http2 or self.own_http2) and native.is_for_http2(source):
                continue
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
        zlib_flags, zlib = native.pkg_config(ZLIB)
        ssl_flags, ssl = native.pkg_config(OPENSSL)
        coding_flags, codings = native.codings()
        h2_flags, h2 = self.http2 or ((), ())
        include = ["-isystem", str(llhttp / "include")]
        include += [*zlib_flags, *ssl_flags, *coding_flags, *h2_flags]
        system = [*zlib, *ssl, *codings, *h2]
        if self.own_http2:
            own = crates.nghttp2_flags(crates.nghttp2())
            lib = crates.nghttp2() / "lib"
            system.insert(0, self._archive("nghttp2", lib, crates.NGHTTP2_SOURCES, own))
            include += ["-DFLUVIAL_HTTP2", *own]
        if SYSTEM_LIBUV:
            uv_flags, uv_libraries = native.pkg_config(LIBUV)
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
        target = self.static / f"{name}.a"
        with native.alone(target):  # of all Pythons' builds
            self.tools.compile(objects)
            self.tools.archive(target, objects)
        return str(target)


class BuildExt(build_ext):
    """setuptools' command; the work is done by Core."""

    def run(self) -> None:
        self.in_place = bool(self.inplace or self.editable_mode)
        try:
            missing.check([ZLIB, OPENSSL, *([LIBUV] if SYSTEM_LIBUV else [])])
        except native.BuildError as error:
            raise CompileError(str(error)) from None
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
    """setuptools' command, with all that a build fetches: one from it needs no network.

    The sources of llhttp and libuv and the pages' scripts are unpacked anew, from archives whose
    hashes were checked. nghttp2's are there where cargo is, which fetches them.
    """

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        super().make_release_tree(base_dir, files)
        try:
            vendor.bundle(Path(base_dir, vendor.BUNDLED.name))
            if crates.has_nghttp2():
                crates.bundle(Path(base_dir, vendor.BUNDLED.name))
            docs_assets.bundle(Path(base_dir, docs_assets.ASSETS.relative_to(ROOT)))
        except vendor.VendorError as error:
            raise ExecError(str(error)) from None


def _install(built: Path, target: Path) -> None:
    """Copies by renaming: a process may be running from the old file."""
    if not target.is_file() or not filecmp.cmp(built, target, shallow=False):
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.with_suffix(f".{os.getpid()}")
        shutil.copy2(built, scratch)
        os.replace(scratch, target)


# Wheels are built by scripts/wheels.py, with OpenSSL and zlib linked in: ADR 24.
setup(
    ext_modules=[Extension("fluvial._core", sources=[])],
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy, "sdist": Sdist},
)
