"""Compiles C: incremental objects, static archives, the extension module.

setup.py decides what is built and this file how. An object is compiled again when its command
line, its source or one of the headers that the compiler listed (-MMD) changed; its time is that at
which its compilation began, so that what changes meanwhile counts. Independent objects are compiled
in parallel. What differs between systems is in `SYSTEMS`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

# Debian packages that hold what a build most often lacks.
DEBIAN_PACKAGES = {
    "Python.h": "python3-dev",
    "stdlib.h": "libc6-dev",
    "stdio.h": "libc6-dev",
    "stddef.h": "gcc",
    "uv.h": "libuv1-dev",
}


# gcov's counters, which several threads and processes add to.
COVERAGE = ("--coverage", "-fprofile-update=atomic")


class BuildError(RuntimeError):
    """A tool is missing or failed; the message says what to do."""


@contextmanager
def alone(target: Path) -> Iterator[None]:
    """Keeps other processes that use this from building `target` meanwhile; says when it waits."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"fluvial: waiting for another build of {target}", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def moment(folder: Path) -> int:
    """A time in nanoseconds by the clock of the file system of `folder`.

    What is written before the call has an earlier one, and what is written after it this or a later
    one. Such clocks advance by milliseconds, so that the next step is waited for.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        first = os.fstat(file.fileno()).st_mtime_ns
        for _ in range(3000):  # FAT has the coarsest, of two seconds
            time.sleep(0.001)
            os.utime(file.fileno())
            if os.fstat(file.fileno()).st_mtime_ns > first:
                break
        return os.fstat(file.fileno()).st_mtime_ns


def is_on(value: str | None) -> bool:
    """Whether an environment variable's value means yes."""
    return value not in (None, "", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """How one operating system links, and what libuv needs there."""

    shared: tuple[str, ...]
    exports: str
    libuv_sources: tuple[str, ...]
    libuv_defines: tuple[str, ...]
    libuv_libraries: tuple[str, ...]


SYSTEMS: Mapping[str, System] = {
    "linux": System(
        shared=("-shared", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,--as-needed"),
        exports="-Wl,--version-script={}",
        libuv_sources=(
            "unix/linux.c",
            "unix/procfs-exepath.c",
            "unix/proctitle.c",
            "unix/random-getrandom.c",
            "unix/random-sysctl-linux.c",
        ),
        libuv_defines=("_GNU_SOURCE", "_POSIX_C_SOURCE=200112"),
        libuv_libraries=("-lpthread", "-ldl", "-lrt"),
    ),
}


def this_system() -> System:
    try:
        return SYSTEMS[sys.platform]
    except KeyError:
        raise BuildError(
            f"Fluvial does not build on {sys.platform} yet: scripts/native.py lacks its entry"
        ) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavour:
    """One way to build: each has folders of its own under build/."""

    name: str
    cflags: tuple[str, ...]
    ldflags: tuple[str, ...] = ()
    vendor_cflags: tuple[str, ...]

    @classmethod
    def from_environment(cls, env: Mapping[str, str], *, optimise: bool) -> Flavour:
        """FLUVIAL_SANITIZE=..., FLUVIAL_COVERAGE=1 or FLUVIAL_DEBUG=1; else a release.

        A release is optimised over all files at once, in a link that takes seconds, when
        FLUVIAL_LTO=1 or, without that variable, when `optimise` says so.
        """
        sanitize = env.get("FLUVIAL_SANITIZE", "")
        if sanitize:
            return cls._sanitized(sorted(sanitize.split(",")))
        if is_on(env.get("FLUVIAL_COVERAGE")):
            flags = ("-O0", "-g", "-DNDEBUG", *COVERAGE)
            theirs = ("-O1", "-g", "-DNDEBUG")
            return cls(name="coverage", cflags=flags, ldflags=COVERAGE, vendor_cflags=theirs)
        if is_on(env.get("FLUVIAL_DEBUG")):
            flags = ("-O0", "-g3", "-UNDEBUG")
            return cls(name="debug", cflags=flags, vendor_cflags=("-O1", "-g"))
        if is_on(env.get("FLUVIAL_LTO", "1" if optimise else "0")):
            flags = ("-O3", "-g", "-DNDEBUG", "-flto=auto")
            # Fat: an archiver without the compiler's plug-in sees symbols, too.
            theirs = (*flags, "-ffat-lto-objects")
            return cls(name="release-lto", cflags=flags, ldflags=flags, vendor_cflags=theirs)
        flags = ("-O2", "-g", "-DNDEBUG")
        return cls(name="release", cflags=flags, vendor_cflags=flags)

    def with_plain_lto(self) -> Flavour:
        """The same for compilers that don't choose how many processes optimise at once."""

        def plain(flags: tuple[str, ...]) -> tuple[str, ...]:
            return tuple("-flto" if flag == "-flto=auto" else flag for flag in flags)

        return replace(
            self,
            cflags=plain(self.cflags),
            ldflags=plain(self.ldflags),
            vendor_cflags=plain(self.vendor_cflags),
        )

    @classmethod
    def _sanitized(cls, names: Sequence[str]) -> Flavour:
        common = ("-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer")
        ours = f"-fsanitize={','.join(names)}"
        # What libuv does with pointers is its own business; where it reads and writes is ours.
        theirs = [f"-fsanitize={name}" for name in names if name != "undefined"]
        return cls(
            name=f"sanitize-{'-'.join(names)}",
            cflags=(*common, ours, "-fno-sanitize-recover=all"),
            ldflags=(ours,),
            vendor_cflags=(*common, *theirs),
        )


class Toolchain:
    """The C compiler and archiver that this Python was built with, or CC and AR."""

    def __init__(self) -> None:
        self.cc = _command("CC", "cc")
        self.ar = _command("AR", "ar")
        self.env_cflags = shlex.split(os.environ.get("CFLAGS", ""))
        self.env_ldflags = shlex.split(os.environ.get("LDFLAGS", ""))

    def accepts(self, flags: Sequence[str]) -> bool:
        """Whether the compiler knows these flags and links with them."""
        command = [*self.cc, *flags, "-shared", "-fPIC", "-x", "c", os.devnull, "-o", os.devnull]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def finds(self, header: str) -> bool:
        """Whether the compiler finds `header`, without flags that say where."""
        return finds_header([*self.cc, *self.env_cflags], header)

    def compile(self, objects: Mapping[Path, tuple[Path, list[str]]]) -> bool:
        """Brings objects, given as {object: (source, flags)}, up to date. True if any changed."""
        jobs = []
        for target, (source, flags) in objects.items():
            command = [*self.cc, *flags, *self.env_cflags, "-MMD", "-c", str(source)]
            command += ["-o", str(target)]
            if not _is_fresh(target, command):
                jobs.append((target, command))
        if not jobs:
            return False
        folder = jobs[0][0].parent
        folder.mkdir(parents=True, exist_ok=True)
        began = moment(folder)
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            list(pool.map(lambda job: _produce(*job, began), jobs))
        return True

    def archive(self, target: Path, objects: Iterable[Path]) -> None:
        """Makes a static library, unless it is newer than all its objects."""
        members = [str(path) for path in objects]
        command = [*self.ar, "rcsD", str(target), *members]
        if not _is_fresh(target, command, members):
            target.unlink(missing_ok=True)
            _produce(target, command, moment(target.parent))

    def link(
        self, target: Path, inputs: Sequence[str], flags: Sequence[str], *, script: Path
    ) -> None:
        """Links a shared object from `inputs` (files) and `flags`, which use the file `script`."""
        command = [*self.cc, "-o", str(target), *inputs, *flags, *self.env_ldflags]
        if not _is_fresh(target, command, [*inputs, str(script)]):
            _produce(target, command, moment(target.parent))

    def describe(self, path: Path, objects: Mapping[Path, tuple[Path, list[str]]]) -> None:
        """Writes compile_commands.json for editors and analysers."""
        entries = [
            {
                "directory": str(Path.cwd()),
                "file": str(source),
                "arguments": [*self.cc, *flags, *self.env_cflags, "-c", str(source)],
                "output": str(target),
            }
            for target, (source, flags) in objects.items()
        ]
        _write_if_changed(path, json.dumps(entries, indent=2) + "\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Library:
    """A library of the system's: pkg-config's name for it, one of its headers, Debian's package."""

    name: str
    minimum: str
    header: str
    debian: str


# Priorities by RFC 9218 came with this version.
NGHTTP2 = Library(
    name="libnghttp2", minimum="1.50", header="nghttp2/nghttp2.h", debian="libnghttp2-dev"
)

# What else responses are compressed with, where the machine has it.
CODINGS = {
    "FLUVIAL_BROTLI": (
        Library(
            name="libbrotlienc", minimum="1.0", header="brotli/encode.h", debian="libbrotli-dev"
        ),
        Library(
            name="libbrotlidec", minimum="1.0", header="brotli/decode.h", debian="libbrotli-dev"
        ),
    ),
    "FLUVIAL_ZSTD": (
        Library(name="libzstd", minimum="1.4", header="zstd.h", debian="libzstd-dev"),
    ),
}


def python_include() -> list[str]:
    """The folders of the running Python's headers, or FLUVIAL_PYTHON_HEADERS; none without them."""
    paths = sysconfig.get_paths()
    chosen = os.environ.get("FLUVIAL_PYTHON_HEADERS")
    include = [chosen] if chosen else [paths["include"], paths["platinclude"]]
    found = any((Path(path) / "Python.h").is_file() for path in include)
    return list(dict.fromkeys(include)) if found else []


def python_flags() -> list[str]:
    """-isystem for Python.h."""
    return [flag for path in python_include() for flag in ("-isystem", path)]


def finds_header(compiler: Sequence[str], header: str) -> bool:
    """Whether this compiler, given with its flags, finds `header`."""
    source = f"#if !__has_include(<{header}>)\n#error\n#endif\n"
    command = [*compiler, "-E", "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(command, input=source, text=True, capture_output=True, check=False)
    return done.returncode == 0


def libuv_flags(folder: Path, system: System) -> list[str | Path]:
    """What libuv's own files, unpacked in `folder`, are compiled with."""
    return [
        *("-I", folder / "include", "-I", folder / "src"),
        *(f"-D{define}" for define in system.libuv_defines),
        *("-D_FILE_OFFSET_BITS=64", "-D_LARGEFILE_SOURCE"),
    ]


def pkg_config_tool() -> str:
    return os.environ.get("PKG_CONFIG") or "pkg-config"


def has_library(library: Library) -> bool:
    """Whether pkg-config knows the library, in a version that is new enough."""
    tool = shutil.which(pkg_config_tool())
    wanted = f"{library.name} >= {library.minimum}"
    return (
        tool is not None and subprocess.run([tool, "--exists", wanted], check=False).returncode == 0
    )


def pkg_config(library: Library) -> tuple[list[str], list[str]]:
    """(compiler flags, linker flags) of a system library that `missing.check` has found."""
    answers = []
    for option in ("--cflags", "--libs"):
        command = [pkg_config_tool(), option, library.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"failed: {shlex.join(command)}\n{done.stderr.strip()}")
        answers.append(shlex.split(done.stdout))
    return answers[0], answers[1]


def codings() -> tuple[list[str], list[str]]:
    """(compiler flags, linker flags) of the content codings that can be had."""
    flags: list[str] = []
    linked: list[str] = []
    for switch, libraries in CODINGS.items():
        wanted = os.environ.get(switch)
        if wanted is None and not all(map(has_library, libraries)):
            continue
        if wanted is None or is_on(wanted):
            flags.append(f"-D{switch}")
            for library in libraries:
                found = pkg_config(library)
                flags += found[0]
                linked += found[1]
    return flags, linked


def http2() -> tuple[list[str], list[str]] | None:
    """The same of the system's nghttp2, for HTTP/2; None without it, or if it isn't wanted."""
    wanted = os.environ.get("FLUVIAL_HTTP2")
    if wanted == "own" or not has_library(NGHTTP2) or not (wanted is None or is_on(wanted)):
        return None
    flags, libraries = pkg_config(NGHTTP2)
    return ["-DFLUVIAL_HTTP2", *flags], libraries


def own_http2(at_hand: Callable[[], bool]) -> bool:
    """Whether nghttp2's own source is compiled in; without that variable if it is at hand."""
    wanted = os.environ.get("FLUVIAL_HTTP2")
    if wanted == "own":
        return True
    if has_library(NGHTTP2):
        return False
    return at_hand() if wanted is None else is_on(wanted)


def is_for_http2(source: Path) -> bool:
    """Whether this file of ext/ is compiled with HTTP/2 alone."""
    return source.parent.name == "http" and source.name.startswith("h2")


def find_command(variable: str, fallback: str) -> list[str] | None:
    """The tool that a variable of the environment names, this Python's, or `fallback`."""
    chosen = os.environ.get(variable) or sysconfig.get_config_var(variable) or fallback
    for words in (shlex.split(chosen), [fallback]):
        if shutil.which(words[0]) is not None:
            return words
    return None


def _command(variable: str, fallback: str) -> list[str]:
    words = find_command(variable, fallback)
    if words is None:
        raise BuildError(
            f"no C compiler or its tools: {fallback!r} is not on the PATH "
            "(Debian: apt-get install gcc libc6-dev)"
        )
    return words


def _is_fresh(target: Path, command: Sequence[str], inputs: Iterable[str] = ()) -> bool:
    recipe = _recipe(target)
    if not target.is_file() or not recipe.is_file():
        return False
    if recipe.read_text() != shlex.join(command):
        return False
    built = target.stat().st_mtime_ns
    sources = [Path(path) for path in (*inputs, *_dependencies(target))]
    return all(path.is_file() and path.stat().st_mtime_ns < built for path in sources)


def _dependencies(target: Path) -> list[str]:
    """What the compiler wrote with -MMD: `target: source header ...` with escaped newlines."""
    listing = target.with_suffix(".d")
    if not listing.is_file():
        return []
    _, _, names = listing.read_text().replace("\\\n", " ").partition(": ")
    return [name.replace("\\ ", " ") for name in re.split(r"(?<!\\)\s+", names.strip())]


def _recipe(target: Path) -> Path:
    return target.with_suffix(target.suffix + ".cmd")


def _produce(target: Path, command: Sequence[str], began: int) -> None:
    """Runs `command`, which makes `target`; notes the command line and when it began."""
    target.parent.mkdir(parents=True, exist_ok=True)
    recipe = _recipe(target)
    recipe.unlink(missing_ok=True)
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        raise BuildError(f"failed: {shlex.join(command)}{_hint(done.stderr)}")
    os.utime(target, ns=(began, began))
    recipe.write_text(shlex.join(command))


def _hint(stderr: str) -> str:
    for header, package in DEBIAN_PACKAGES.items():
        if re.search(rf"\b{re.escape(header)}: No such file", stderr):
            return f"\n{header} is missing (Debian: apt-get install {package})"
    return ""


def _write_if_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
