"""Makes sure that the system has what Fluvial is built, tested or measured with.

    python3 scripts/system.py build [test] [test-apps] [fuzz] [conformance-loop]
                              [conformance-libs] [bench] [bench-loop] [chroot] [wheels]

Looks for each tool or header itself, so that a Python or compiler from elsewhere counts, too.
What is missing is installed with apt-get where that exists (through sudo unless root);
elsewhere the list is printed and the script fails. Standard library only: it runs first.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

MINIMUM = (3, 11)


@dataclass(frozen=True)
class Need:
    """One thing that must be there, and the Debian package that brings it."""

    what: str
    package: str
    present: Callable[[], bool]


def on_path(*names: str) -> Callable[[], bool]:
    return lambda: any(shutil.which(name) for name in names)


def in_sbin(name: str) -> Callable[[], bool]:
    """Whether a server is there, which users' PATH often doesn't find."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin"))
    return lambda: shutil.which(name, path=path) is not None


def compiles(header: str) -> Callable[[], bool]:
    """Whether the C compiler finds `header`."""

    def check() -> bool:
        cc = shutil.which("cc") or shutil.which("gcc")
        if cc is None:
            return False
        source = f"#include <{header}>\n".encode()
        done = subprocess.run(
            [cc, "-E", "-", "-o", os.devnull], input=source, capture_output=True, check=False
        )
        return done.returncode == 0

    return check


def has_libfuzzer() -> bool:
    """Whether clang links with its fuzzer and sanitizers."""
    if shutil.which("clang") is None:
        return False
    source = "int LLVMFuzzerTestOneInput(const char *data, long size) { return !data + !size; }"
    command = ["clang", "-fsanitize=fuzzer,address,undefined", "-x", "c", "-", "-o", os.devnull]
    done = subprocess.run(command, input=source.encode(), capture_output=True, check=False)
    return done.returncode == 0


def python_header() -> bool:
    paths = sysconfig.get_paths()
    return any(Path(paths[key], "Python.h").is_file() for key in ("include", "platinclude"))


def has_postgres() -> bool:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep)]
    folders += Path("/usr/lib/postgresql").glob("*/bin")
    return any((folder / "initdb").is_file() for folder in folders)


def has_asyncio_tests() -> bool:
    """Whether this Python came with CPython's own tests; Debian packs them apart."""
    try:
        return importlib.util.find_spec("test.test_asyncio") is not None
    except ModuleNotFoundError:
        return False


def needs(purpose: str) -> Iterator[Need]:
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    if purpose == "build":
        yield Need("a C compiler", "gcc", on_path("cc", "gcc"))
        yield Need("the C library's headers", "libc6-dev", compiles("stdlib.h"))
        yield Need("zlib's headers", "zlib1g-dev", compiles("zlib.h"))
        yield Need("OpenSSL's headers", "libssl-dev", compiles("openssl/ssl.h"))
        yield Need("brotli's headers", "libbrotli-dev", compiles("brotli/encode.h"))
        yield Need("zstd's headers", "libzstd-dev", compiles("zstd.h"))
        yield Need("nghttp2's headers", "libnghttp2-dev", compiles("nghttp2/nghttp2.h"))
        yield Need("pkg-config", "pkg-config", on_path("pkg-config"))
        yield Need("Python's headers", f"{python}-dev", python_header)
        yield Need("venv", f"{python}-venv", lambda: bool(importlib.util.find_spec("ensurepip")))
    elif purpose == "test":
        yield Need("openssl", "openssl", on_path("openssl"))
        yield Need("nm", "binutils", on_path("nm"))
        yield Need("the header of static probes", "systemtap-sdt-dev", compiles("sys/sdt.h"))
        yield Need("gdb", "gdb", on_path("gdb"))
        yield Need("curl", "curl", on_path("curl"))
        yield Need("nghttp and h2load", "nghttp2-client", on_path("nghttp"))
        yield Need("valgrind", "valgrind", on_path("valgrind"))
        yield Need("OpenSSL's headers", "libssl-dev", compiles("openssl/ssl.h"))
    elif purpose == "test-apps":
        yield Need("PostgreSQL", "postgresql", has_postgres)
        yield Need("npm, for the documentation pages", "npm", on_path("npm"))
        yield Need("node, for clients in TypeScript", "nodejs", on_path("node"))
        yield Need("nginx", "nginx-light", in_sbin("nginx"))
        yield Need("haproxy", "haproxy", in_sbin("haproxy"))
        yield Need("Caddy", "caddy", on_path("caddy"))
        yield Need("Redis", "redis-server", on_path("redis-server"))
        yield Need("systemd-analyze", "systemd", on_path("systemd-analyze"))
        yield Need("a browser", "chromium", on_path("chromium", "chromium-headless-shell"))
    elif purpose == "fuzz":
        yield Need("clang", "clang", on_path("clang"))
        yield Need("libFuzzer", "libclang-rt-dev", has_libfuzzer)
        yield Need("cargo, which fetches nghttp2's sources", "cargo", on_path("cargo"))
    elif purpose == "conformance-loop":
        yield Need("CPython's own tests", f"lib{python}-testsuite", has_asyncio_tests)
    elif purpose == "conformance-libs":
        yield Need("PostgreSQL", "postgresql", has_postgres)
        yield Need("Redis", "redis-server", on_path("redis-server"))
        yield Need("openssl", "openssl", on_path("openssl"))
    elif purpose == "conformance-h2":
        yield Need("go", "golang-go", on_path("go"))
    elif purpose == "wheels":
        yield Need("cargo, which fetches OpenSSL's and zlib's sources", "cargo", on_path("cargo"))
        yield Need("perl", "perl", on_path("perl"))
        yield Need("make", "make", on_path("make"))
        yield Need("pkg-config", "pkg-config", on_path("pkg-config"))
        yield Need("llvm-objcopy", "llvm", on_path("llvm-objcopy"))
        yield Need("openssl", "openssl", on_path("openssl"))
        yield Need("debootstrap", "debootstrap", on_path("debootstrap"))
    elif purpose == "chroot":
        yield Need("debootstrap", "debootstrap", on_path("debootstrap"))
        yield Need("unshare", "util-linux", on_path("unshare"))
    elif purpose == "bench":
        yield Need("wrk", "wrk", on_path("wrk"))
        yield Need("taskset", "util-linux", on_path("taskset"))
    elif purpose == "bench-loop":
        yield Need("taskset", "util-linux", on_path("taskset"))
        yield Need("openssl", "openssl", on_path("openssl"))
        yield Need("OpenSSL's headers", "libssl-dev", compiles("openssl/ssl.h"))
    else:
        raise SystemExit(f"scripts/system.py: unknown purpose {purpose!r}")


def install(missing: list[Need]) -> None:
    packages = [need.package for need in missing]
    reasons = ", ".join(f"{need.what} ({need.package})" for need in missing)
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if shutil.which("apt-get") is None or (as_root and shutil.which("sudo") is None):
        raise SystemExit(
            f"fluvial: missing: {reasons}.\n"
            f"Install these (the names in brackets are Debian's) and run the command again:\n"
            f"    {' '.join(command)}"
        )
    print(f"fluvial: installing with apt-get: {reasons}", flush=True)
    environment = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive"]
    for step in (["apt-get", "update"], command):
        done = subprocess.run(
            [*environment, *step],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}\nfluvial: failed: {' '.join(step)}")


def main(purposes: list[str]) -> None:
    if sys.version_info < MINIMUM or sys.implementation.name != "cpython":
        raise SystemExit(
            f"fluvial: needs CPython {'.'.join(map(str, MINIMUM))} or newer and {sys.executable} "
            f"is {sys.implementation.name} {sys.version.split()[0]}; choose another with PYTHON="
        )
    wanted_now = [need for purpose in purposes for need in needs(purpose)]
    missing = [need for need in wanted_now if not need.present()]
    if missing:
        install(missing)
        left = [need.what for need in missing if not need.present()]
        if left:
            raise SystemExit(f"fluvial: still missing after apt-get: {', '.join(left)}")


if __name__ == "__main__":
    main(sys.argv[1:])
