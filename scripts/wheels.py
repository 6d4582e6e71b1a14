"""Builds the wheels, which `pip install` needs no compiler for: `make wheels` (ADR 24).

    python scripts/wheels.py                                  all of them
    python scripts/wheels.py --python 3.13 --target manylinux_2_28_x86_64

Everything is compiled by zig (PyPI's ziglang) for an older C library, or another machine's, than
this one has; OpenSSL and zlib are linked in. Of each Python the headers alone are needed: those of
an interpreter on the PATH or under pyenv, else Debian's, from the chroots of scripts/chroot.py. A
wheel is stripped; what debuggers want is put beside it, in dist/debug. Runs in an environment that
has the extra `wheels`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import chroot
import crates
import native
import static_libraries
import vendor

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "wheels"
LARGEST = 4 * 1024 * 1024  # bytes of a wheel
PYTHONS = ("3.11", "3.12", "3.13", "3.14", "3.15")
# Where Debian has the Pythons that the machine lacks.
SUITES = {"3.11": "bookworm", "3.13": "trixie", "3.14": "forky", "3.15": "forky"}
# Says whether the headers' pyconfig.h, which was made for x86-64, is right for a target.
CHECK = """\
#include <Python.h>
#include <time.h>
#define IS(type, size) _Static_assert(sizeof(type) == (size), #type)
IS(short, SIZEOF_SHORT); IS(int, SIZEOF_INT); IS(long, SIZEOF_LONG); IS(void *, SIZEOF_VOID_P);
IS(long long, SIZEOF_LONG_LONG); IS(size_t, SIZEOF_SIZE_T); IS(wchar_t, SIZEOF_WCHAR_T);
IS(off_t, SIZEOF_OFF_T); IS(time_t, SIZEOF_TIME_T); IS(double, SIZEOF_DOUBLE);
IS(pid_t, SIZEOF_PID_T); IS(uintptr_t, SIZEOF_UINTPTR_T); IS(_Bool, SIZEOF__BOOL);
IS(pthread_t, SIZEOF_PTHREAD_T);
_Static_assert(_Alignof(long) == ALIGNOF_LONG && _Alignof(size_t) == ALIGNOF_SIZE_T, "alignment");
#ifdef WORDS_BIGENDIAN
#error the machine is little-endian
#endif
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A system that wheels are for: zig's and OpenSSL's names, and the end of extensions' names."""

    zig: str
    openssl: str
    suffix: str


TARGETS = {
    "manylinux_2_28_x86_64": Target(
        zig="x86_64-linux-gnu.2.28", openssl="linux-x86_64", suffix="x86_64-linux-gnu"
    ),
    "manylinux_2_28_aarch64": Target(
        zig="aarch64-linux-gnu.2.28", openssl="linux-aarch64", suffix="aarch64-linux-gnu"
    ),
    "musllinux_1_2_x86_64": Target(
        zig="x86_64-linux-musl", openssl="linux-x86_64", suffix="x86_64-linux-musl"
    ),
    "musllinux_1_2_aarch64": Target(
        zig="aarch64-linux-musl", openssl="linux-aarch64", suffix="aarch64-linux-musl"
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--python", action="append", choices=PYTHONS)
    parser.add_argument("--target", action="append", choices=TARGETS)
    parser.add_argument("--dist", type=Path, default=ROOT / "dist")
    options = parser.parse_args()
    headers = {python: headers_of(python) for python in options.python or PYTHONS}
    for name in options.target or TARGETS:
        target = TARGETS[name]
        tools = tools_for(target)
        prefix = FOLDER / "libraries" / name
        print(f"fluvial: OpenSSL and zlib for {name}", flush=True)
        static_libraries.build(prefix, system=target.openssl, tools=tools)
        for python, include in headers.items():
            check_headers(tools, include)
            wheel = build(name, python, include, tools, prefix)
            wheel = finish(wheel, name, python, options.dist.resolve())
            check(wheel, name)
            print(f"{wheel} {wheel.stat().st_size / 1024:,.0f} KiB", flush=True)


def tools_for(target: Target) -> dict[str, str]:
    """Environment variables that name the compiler and its tools."""
    import ziglang  # only where the extra `wheels` is installed

    os.environ.setdefault("ZIG_GLOBAL_CACHE_DIR", str(FOLDER / "zig"))
    zig = str(Path(ziglang.__file__).with_name("zig"))
    return {"CC": f"{zig} cc -target {target.zig}", "AR": f"{zig} ar", "RANLIB": f"{zig} ranlib"}


# ---- Headers ----------------------------------------------------------------------------------


def headers_of(python: str) -> Path:
    """A folder with the headers of that Python, and those alone."""
    target = FOLDER / "headers" / python
    if not (target / "Python.h").is_file():
        include, config = _installed(python) or _debian(python)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(include, target)
        shutil.copy(config, target / "pyconfig.h")
    return target


def interpreters(python: str) -> Iterator[str]:
    yield f"python{python}"
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(root.glob(f"versions/{python}.*/bin/python3")))


def _installed(python: str) -> tuple[Path, Path] | None:
    """The folder of headers of an interpreter that the machine has, and its pyconfig.h."""
    words = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2]); " + (
        "print(sysconfig.get_path('include')); print(sysconfig.get_config_h_filename())"
    )
    for command in interpreters(python):
        try:
            done = subprocess.run(
                [command, "-c", words], capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        version, include, config = done.stdout.splitlines()
        # Debian's pyconfig.h chooses among those of several machines.
        if version == python and Path(include, "Python.h").is_file():
            return Path(include), _for_x86(Path(config), Path("/"))
    return None


def _debian(python: str) -> tuple[Path, Path]:
    if python not in SUITES:
        raise SystemExit(f"scripts/wheels.py: this machine has no headers of Python {python}")
    suite = SUITES[python]
    root = ROOT / "build" / "debian" / suite
    chroot.make_system(suite, root)
    chroot.install(root, [f"libpython{python}-dev"])
    include = root / "usr/include" / f"python{python}"
    return include, _for_x86(include / "pyconfig.h", root)


def _for_x86(config: Path, root: Path) -> Path:
    own = root / "usr/include/x86_64-linux-gnu" / config.parent.name / "pyconfig.h"
    return own if "x86_64-linux-gnu" in config.read_text() and own.is_file() else config


def check_headers(tools: dict[str, str], include: Path) -> None:
    """Whether sizes and byte order of the headers are those of the target."""
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch, "check.c")
        source.write_text(CHECK)
        flags = ["-isystem", str(include), "-c", str(source), "-o", str(source.with_suffix(".o"))]
        subprocess.run([*tools["CC"].split(), *flags], check=True)


# ---- Building ---------------------------------------------------------------------------------


def tag(python: str) -> str:
    return f"cp{python.replace('.', '')}"


def build(name: str, python: str, include: Path, tools: dict[str, str], prefix: Path) -> Path:
    """Runs setup.py with the Python at hand; what it makes is for the other one all the same."""
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("FLUVIAL_", "PKG_CONFIG"))}
    suffix = f".cpython-{python.replace('.', '')}-{TARGETS[name].suffix}.so"
    work = FOLDER / "work" / f"{tag(python)}-{name}"
    env = {
        **keep,
        **tools,
        "CFLAGS": f"-fno-sanitize=all -ffunction-sections -ffile-prefix-map={ROOT}=fluvial",
        "LDFLAGS": "-Wl,--gc-sections",
        "PKG_CONFIG_LIBDIR": str(prefix / "lib" / "pkgconfig"),
        "SETUPTOOLS_EXT_SUFFIX": suffix,
        "FLUVIAL_PYTHON_HEADERS": str(include),
        "FLUVIAL_TARGET": f"{tag(python)}-{name}",
        "FLUVIAL_PROBES": "0",
        "FLUVIAL_HTTP2": "0",  # no room: ADR 24
        "FLUVIAL_LTO": "1",
    }
    if cache := os.environ.get("FLUVIAL_VENDOR_CACHE"):
        env["FLUVIAL_VENDOR_CACHE"] = cache
    shutil.rmtree(work, ignore_errors=True)
    command = [sys.executable, "setup.py", "--quiet", "build", "--build-base", str(work)]
    command += ["bdist_wheel", "--bdist-dir", str(work / "bdist"), "--dist-dir", str(work)]
    subprocess.run(command, cwd=ROOT, env=env, check=True)
    (wheel,) = work.glob("*.whl")
    return wheel


def finish(wheel: Path, name: str, python: str, dist: Path) -> Path:
    """Strips the extension, adds licences and names the wheel after what it is for."""
    wheel_tool = [sys.executable, "-m", "wheel"]
    for folder in (dist, dist / "debug"):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        _call([*wheel_tool, "unpack", "--dest", scratch, str(wheel)])
        (tree,) = Path(scratch).iterdir()
        (extension,) = tree.glob("fluvial/_core.*.so")
        split(extension, dist / "debug" / f"{extension.name}.debug")
        (info,) = tree.glob("*.dist-info")
        for library, file in licences().items():
            (info / "licenses" / library).mkdir(parents=True)
            shutil.copy(file, info / "licenses" / library / "LICENSE")
        _call([*wheel_tool, "pack", "--dest-dir", scratch, str(tree)])
        (packed,) = Path(scratch).glob("*.whl")
        tags = ["--python-tag", tag(python), "--abi-tag", tag(python), "--platform-tag", name]
        _call([*wheel_tool, "tags", "--remove", *tags, str(packed)])
        (tagged,) = Path(scratch).glob("*.whl")
        return deflate(tagged, dist / tagged.name)


def deflate(wheel: Path, target: Path) -> Path:
    """Writes the same archive with as few bytes as zlib can."""
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            copy.writestr(info, source.read(info), zipfile.ZIP_DEFLATED, compresslevel=9)
    return target


def split(extension: Path, debug: Path) -> None:
    """Moves what only debuggers read to a file of its own, which the extension then names."""
    objcopy = "llvm-objcopy"  # which knows every machine
    _call([objcopy, "--only-keep-debug", str(extension), str(debug)])
    link = f"--add-gnu-debuglink={debug}"
    _call([objcopy, "--strip-unneeded", link, str(extension)])


def licences() -> dict[str, Path]:
    """Of what is linked in."""
    own = {name: vendor.fetch(name) / "LICENSE" for name in vendor.PINS}
    used = (crates.OPENSSL, crates.ZLIB)
    return own | {crate.name: crates.licence(crate) for crate in used}


def _call(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"failed: {' '.join(command)}\n{done.stdout}{done.stderr}")


# ---- Checking ---------------------------------------------------------------------------------


def check(wheel: Path, name: str) -> None:
    """The size, and whether it runs where its name says, as auditwheel sees it."""
    size = wheel.stat().st_size
    if size > LARGEST:
        raise SystemExit(f"{wheel} has {size} bytes, and {LARGEST} are allowed")
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = " ".join((done.stdout + done.stderr).split())
    found = re.search(r'is consistent with the following platform tag: "(\w+)"', text)
    if found is None or not covers(found[1], name):
        raise SystemExit(f"{wheel} is no {name}:\n{done.stdout}{done.stderr}")
    with zipfile.ZipFile(wheel) as archive:
        (extension,) = (info for info in archive.namelist() if "/_core." in info and ".so" in info)
        if b".debug_info" in archive.read(extension):  # among the sections' names
            raise SystemExit(f"{wheel}: {extension} isn't stripped")


def covers(found: str, wanted: str) -> bool:
    """Whether a wheel that may be called `found` may be called `wanted`: an older libc will do."""
    form = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_(\w+)")
    is_, asked = form.fullmatch(found), form.fullmatch(wanted)
    if is_ is None or asked is None or (is_[1], is_[4]) != (asked[1], asked[4]):
        return False
    return (int(is_[2]), int(is_[3])) <= (int(asked[2]), int(asked[3]))


if __name__ == "__main__":
    try:
        main()
    except (native.BuildError, vendor.VendorError, subprocess.CalledProcessError) as error:
        raise SystemExit(f"scripts/wheels.py: {error}") from None
