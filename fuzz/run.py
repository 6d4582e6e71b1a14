"""Builds the fuzzers of fuzz/ with clang's sanitizers and runs them.

    python fuzz/run.py [--seconds N] [--target http|h2|coded ...] [LIBFUZZER-OPTION ...]
    python fuzz/run.py --show FILE     what was found, as a `sent` block for tests/wire

Each has its corpus below build/fuzz/corpus, which grows from run to run; the seeds are in seeds.py.
What fails is left in build/fuzz/found and shown as a `sent` block: it becomes a test when it is
mended. See fuzz/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / path) for path in ("fuzz", "scripts", "tests")]

import crates  # noqa: E402
import native  # noqa: E402
import seeds  # noqa: E402
import vendor  # noqa: E402
from support.wire_documents import block_of  # noqa: E402

HERE = ROOT / "build" / "fuzz"
CORPUS, FOUND = HERE / "corpus", HERE / "found"
EXT = ROOT / "ext"

COMMON = ("-g", "-O1", "-UNDEBUG", "-fno-omit-frame-pointer")
WATCHED = "-fsanitize=fuzzer-no-link,address"
# As in the sanitized build: what libuv and llhttp do with pointers is their own business.
OURS = (*COMMON, "-std=c11", WATCHED, "-fsanitize=undefined", "-fno-sanitize-recover=all")
THEIRS = (*COMMON, "-std=gnu11", "-w", WATCHED)

OPTIONS = ("-max_len=4096", "-timeout=20", "-rss_limit_mb=3072", "-print_final_stats=1")
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=0:handle_abort=2",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


# ---- Building --------------------------------------------------------------------------------


def theirs() -> dict[Path, tuple[Path, list[str]]]:
    """The objects of llhttp, libuv and nghttp2."""
    llhttp, libuv, nghttp2 = folders()
    system = native.this_system()
    http = [*THEIRS, "-I", str(llhttp / "include")]
    uv = [*THEIRS, *map(str, native.libuv_flags(libuv, system))]
    h2 = [*THEIRS, *crates.nghttp2_flags(nghttp2)]
    parts = (
        ("llhttp", llhttp / "src", vendor.LLHTTP_SOURCES, http),
        ("libuv", libuv / "src", (*vendor.LIBUV_SOURCES, *system.libuv_sources), uv),
        ("nghttp2", nghttp2 / "lib", crates.NGHTTP2_SOURCES, h2),
    )
    return {
        (HERE / "objects" / name / source).with_suffix(".o"): (folder / source, flags)
        for name, folder, sources, flags in parts
        for source in sources
    }


def folders() -> tuple[Path, Path, Path]:
    """The sources of llhttp, libuv and nghttp2."""
    return vendor.fetch("llhttp"), vendor.fetch("libuv"), crates.nghttp2()


def core_flags(include: list[Path], http2: tuple[list[str], list[str]]) -> list[str]:
    """What the core and the fuzzers are compiled with, whatever the compiler."""
    found = [flag for path in include for flag in ("-isystem", str(path))]
    home = f'-DPYTHON_HOME="{sys.base_prefix}"'
    return ["-I", str(EXT), *found, *http2[0], *native.codings()[0], *native.python_flags(), home]


def ours() -> list[str]:
    llhttp, libuv, nghttp2 = folders()
    http2 = ["-DFLUVIAL_HTTP2", *crates.nghttp2_flags(nghttp2)]
    return [*OURS, *core_flags([llhttp / "include", libuv / "include"], (http2, []))]


def build(name: str) -> Path:
    os.environ.update(CC="clang", AR="ar")
    tools = native.Toolchain()
    objects = theirs()
    flags = ours()
    for source in [*sorted(EXT.rglob("*.c")), *(ROOT / "fuzz" / f for f in ("app.c", f"{name}.c"))]:
        objects[HERE / "objects" / source.relative_to(ROOT).with_suffix(".o")] = (source, flags)
    tools.compile(objects)
    target = HERE / name
    library = sysconfig.get_config_var("LIBDIR")
    version = sysconfig.get_config_var("LDVERSION")
    link = ["-fsanitize=fuzzer,address,undefined", "-rdynamic"]
    link += [*native.this_system().libuv_libraries, *native.codings()[1]]
    link += ["-lz", "-lssl", "-lcrypto", f"-L{library}", f"-Wl,-rpath,{library}"]
    link += [f"-lpython{version}", "-lm"]
    inputs = [str(path) for path in objects]
    tools.link(target, inputs, link, script=EXT / "fluvial.map")
    return target


# ---- Running ----------------------------------------------------------------------------------


def plant(name: str) -> Path:
    """Writes the seeds; libFuzzer adds what it finds of interest. Returns the corpus."""
    corpus = CORPUS / name
    corpus.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(parents=True, exist_ok=True)
    for raw in seeds.SEEDS[name]():
        (corpus / f"seed-{hashlib.sha1(raw).hexdigest()}").write_bytes(raw)
    return corpus


def run(name: str, seconds: int, options: list[str]) -> int:
    target = build(name)
    corpus = plant(name)
    before = set(FOUND.iterdir())
    command = [str(target), str(corpus), f"-artifact_prefix={FOUND}/{name}-", *OPTIONS]
    if (words := ROOT / "fuzz" / f"{name}.dict").is_file():
        command.append(f"-dict={words}")
    command += [f"-max_total_time={seconds}", *options]
    done = subprocess.run(command, cwd=HERE, env=os.environ | ENVIRONMENT, check=False)
    for path in sorted(set(FOUND.iterdir()) - before):
        print(f"\n{path}:\n```sent\n{block_of(path.read_bytes())}```")
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long each runs (60)")
    parser.add_argument("--target", action="append", choices=seeds.SEEDS, help="which (all)")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print FILE as a `sent` block")
    options, rest = parser.parse_known_args()
    if options.show is not None:
        print(block_of(options.show.read_bytes()), end="")
        return 0
    try:
        targets = options.target or list(seeds.SEEDS)
        return max([run(name, options.seconds, rest) for name in targets])
    except (native.BuildError, vendor.VendorError) as error:
        raise SystemExit(f"fuzz: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
