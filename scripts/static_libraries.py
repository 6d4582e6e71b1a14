"""Compiles what wheels have linked in: OpenSSL and zlib, for another system (ADR 24).

Their sources come from crates.io (crates.py).
`build()` leaves include/, lib/*.a and lib/pkgconfig/*.pc in a folder, for pkg-config to find.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

import native
from crates import OPENSSL, ZLIB, fetch

# What a server of TLS 1.2 and 1.3 never calls. Keys encrypted by DES, 3DES and AES stay readable.
WITHOUT = (
    *("afalgeng", "apps", "argon2", "aria", "async", "bf", "blake2", "camellia", "cast", "cmp"),
    *("cms", "comp", "ct", "default-thread-pool", "deprecated", "docs", "dsa", "dso", "dtls"),
    *("ec2m", "engine", "filenames", "gost", "idea", "legacy", "lms", "md4", "mdc2"),
    *("module", "multiblock", "nextprotoneg", "ocb", "psk", "quic", "rc2", "rc4"),
    *("rfc3779", "rmd160", "seed", "shared", "siphash", "siv", "slh-dsa", "sm2", "sm3", "sm4"),
    *("srp", "srtp", "ssl-trace", "ssl3", "tests", "thread-pool", "tls-deprecated-ec", "ts"),
    *("ui-console", "whirlpool"),
)
# No openssl.cnf and no certificate is ever read from there (ADR 24).
NOWHERE = "/nonexistent/fluvial"
FLAGS = "-fPIC -fvisibility=hidden -ffunction-sections -fdata-sections -fno-sanitize=all"
ZLIB_CFLAGS = f"-O2 {FLAGS}"
# As small as can be: ciphers, digests and curves are assembly, which this leaves alone (ADR 24).
OPENSSL_CFLAGS = f"-Os {FLAGS}"

ZLIB_PC = """\
Name: zlib
Description: compression
Version: {version}
Cflags: -I{prefix}/include
Libs: -L{prefix}/lib -lz
"""


def build(prefix: Path, *, system: str, tools: Mapping[str, str]) -> None:
    """Compiles both into `prefix`, unless they are there.

    `tools` are CC, AR and RANLIB, `system` is OpenSSL's name for where it will run.
    """
    recipe = "\n".join(
        [repr(OPENSSL), repr(ZLIB), system, repr(tools), *WITHOUT, ZLIB_CFLAGS, OPENSSL_CFLAGS]
    )
    note = prefix / "recipe.txt"
    if note.is_file() and note.read_text() == recipe:
        return
    shutil.rmtree(prefix, ignore_errors=True)
    prefix.mkdir(parents=True)
    env = {**os.environ, **tools}
    _build_zlib(prefix, env)
    _build_openssl(prefix, system, env)
    note.write_text(recipe)


def _build_zlib(prefix: Path, env: Mapping[str, str]) -> None:
    source = fetch(ZLIB)
    with tempfile.TemporaryDirectory() as scratch:
        cc, ar = env["CC"].split(), env["AR"].split()
        flags = [
            *ZLIB_CFLAGS.split(),
            "-DHAVE_UNISTD_H",
            "-DHAVE_STDARG_H",
            "-D_LARGEFILE64_SOURCE=1",
        ]
        sources = [str(path) for path in sorted(source.glob("*.c"))]
        _run([*cc, *flags, "-c", *sources], Path(scratch), env)
        (prefix / "lib" / "pkgconfig").mkdir(parents=True)
        objects = [str(path) for path in sorted(Path(scratch).glob("*.o"))]
        _run([*ar, "rcs", str(prefix / "lib" / "libz.a"), *objects], Path(scratch), env)
    (prefix / "include").mkdir()
    for header in ("zlib.h", "zconf.h"):
        shutil.copy(source / header, prefix / "include")
    version = (source / "zlib.h").read_text().partition('ZLIB_VERSION "')[2].partition('"')[0]
    description = ZLIB_PC.format(version=version, prefix=prefix)
    (prefix / "lib" / "pkgconfig" / "zlib.pc").write_text(description)


def _build_openssl(prefix: Path, system: str, env: Mapping[str, str]) -> None:
    source = fetch(OPENSSL)
    without = [f"no-{feature}" for feature in WITHOUT]
    places = [f"--prefix={prefix}", f"--openssldir={NOWHERE}", "--libdir=lib"]
    with tempfile.TemporaryDirectory(dir=prefix) as scratch:
        folder = Path(scratch)
        _run(["perl", str(source / "Configure"), system, *places, *without], folder, env)
        make = ["make", f"--jobs={os.cpu_count() or 1}", f"CFLAGS={OPENSSL_CFLAGS}"]
        make += [f"ENGINESDIR={NOWHERE}/engines", f"MODULESDIR={NOWHERE}/modules"]
        _run([*make, "build_libs"], folder, env)
        _run([*make, "install_dev"], folder, env)


def _run(command: list[str], folder: Path, env: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-4000:]
        raise native.BuildError(f"failed: {' '.join(command)}\n{output}")
