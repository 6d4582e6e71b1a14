"""Builds the fuzzer of fuzz/http.c with clang's sanitizers and runs it.

    python fuzz/run.py [--seconds N] [LIBFUZZER-OPTION ...]
    python fuzz/run.py --show FILE     what was found, as a `sent` block for tests/wire

The corpus is build/fuzz/corpus, which grows from run to run; its seeds are the cases of tests/wire
and the WebSocket conversations below. What fails is left in build/fuzz/found and shown as a `sent`
block: it becomes a case there when it is mended. See fuzz/README.md.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import struct
import subprocess
import sys
import sysconfig
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests")]

import native  # noqa: E402
import vendor  # noqa: E402
from support.wire_documents import block_of, cases  # noqa: E402

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


def theirs(llhttp: Path, libuv: Path, system: native.System) -> dict[Path, tuple[Path, list[str]]]:
    """The objects of llhttp and libuv."""
    http = [*THEIRS, "-I", str(llhttp / "include")]
    uv = [*THEIRS, *map(str, native.libuv_flags(libuv, system))]
    parts = (
        ("llhttp", llhttp / "src", vendor.LLHTTP_SOURCES, http),
        ("libuv", libuv / "src", (*vendor.LIBUV_SOURCES, *system.libuv_sources), uv),
    )
    return {
        (HERE / "objects" / name / source).with_suffix(".o"): (folder / source, flags)
        for name, folder, sources, flags in parts
        for source in sources
    }


def ours(llhttp: Path, libuv: Path, kind: tuple[str, ...] = OURS) -> list[str]:
    """The compiler flags of the core and of http.c."""
    include = ["-isystem", str(llhttp / "include"), "-isystem", str(libuv / "include")]
    home = f'-DPYTHON_HOME="{sys.base_prefix}"'
    return [*kind, "-I", str(EXT), *include, *native.python_flags(), home]


def build() -> Path:
    os.environ.update(CC="clang", AR="ar")
    tools = native.Toolchain()
    system = native.this_system()
    llhttp, libuv = vendor.fetch("llhttp"), vendor.fetch("libuv")
    objects = theirs(llhttp, libuv, system)
    for source in [*sorted(EXT.rglob("*.c")), ROOT / "fuzz" / "http.c"]:
        name = source.relative_to(ROOT).with_suffix(".o")
        objects[HERE / "objects" / name] = (source, ours(llhttp, libuv))
    tools.compile(objects)
    target = HERE / "http"
    library = sysconfig.get_config_var("LIBDIR")
    version = sysconfig.get_config_var("LDVERSION")
    link = ["-fsanitize=fuzzer,address,undefined", "-rdynamic", *system.libuv_libraries]
    link += ["-lz", "-lssl", "-lcrypto", f"-L{library}", f"-Wl,-rpath,{library}"]
    link += [f"-lpython{version}", "-lm"]
    inputs = [str(path) for path in objects]
    tools.link(target, inputs, link, script=EXT / "fluvial.map")
    return target


# ---- The corpus -------------------------------------------------------------------------------

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def frame(first: int, payload: bytes, mask: bytes = b"\x01\x02\x03\x04") -> bytes:
    """A client's frame; `first` is its first byte."""
    length = len(payload)
    head = struct.pack("!BB", first, 0x80 | length)
    if length > 125:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return head + mask + masked


def deflated(payload: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return (packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


def websockets() -> list[bytes]:
    """Conversations: text, fragments, control frames, compression, the closing handshake."""
    close = frame(0x88, struct.pack("!H", 1000) + b"bye")
    plain = [
        frame(0x81, b"hello") + close,
        frame(0x01, b"he") + frame(0x89, b"ping") + frame(0x80, b"llo") + close,
        frame(0x82, bytes(range(200))) + frame(0x8A, b"") + frame(0x88, b""),
        frame(0x81, b"close") + close,
        frame(0x81, "ä€😀".encode()) + frame(0x81, b"\xff"),
    ]
    packed = [
        frame(0xC1, deflated(b"hello " * 20)) + frame(0xC2, deflated(b"hello")) + close,
        frame(0x41, deflated(b"hello")[:3]) + frame(0x80, deflated(b"hello")[3:]) + close,
    ]
    found = [UPGRADE + b"\r\n" + frames for frames in plain]
    return found + [UPGRADE + DEFLATE + b"\r\n" + frames for frames in packed]


def requests() -> list[bytes]:
    """What the layer above does depends on the last byte of the path (plan_of in http.c)."""
    body = b"Content-Length: 5\r\n\r\nhello"
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nT: v\r\n\r\n"
    found = []
    for bits in range(64):
        line = b"POST /" + bytes([ord("/") ^ bits]) + b" HTTP/1.1\r\nHost: h\r\n"
        if 0x21 <= line[6] < 0x7F and line[6] not in b"?#":
            found += [(line + body) * 2, line + chunked, (line + chunked) * 2]
    return found


def plant() -> None:
    """Writes the seeds; libFuzzer adds what it finds of interest."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    FOUND.mkdir(parents=True, exist_ok=True)
    for raw in [*(case.raw for case in cases()), *websockets(), *requests()]:
        (CORPUS / f"seed-{hashlib.sha1(raw).hexdigest()}").write_bytes(raw)


# ---- Running ----------------------------------------------------------------------------------


def run(seconds: int, options: list[str]) -> int:
    target = build()
    plant()
    before = set(FOUND.iterdir())
    words = f"-dict={ROOT / 'fuzz' / 'http.dict'}"
    command = [str(target), str(CORPUS), words, f"-artifact_prefix={FOUND}/", *OPTIONS]
    command += [f"-max_total_time={seconds}", *options]
    done = subprocess.run(command, cwd=HERE, env=os.environ | ENVIRONMENT, check=False)
    for path in sorted(set(FOUND.iterdir()) - before):
        print(f"\n{path}:\n```sent\n{block_of(path.read_bytes())}```")
    return done.returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=60, help="how long to run (60)")
    parser.add_argument("--show", type=Path, metavar="FILE", help="print FILE as a `sent` block")
    options, rest = parser.parse_known_args()
    if options.show is not None:
        print(block_of(options.show.read_bytes()), end="")
        return 0
    try:
        return run(options.seconds, rest)
    except (native.BuildError, vendor.VendorError) as error:
        raise SystemExit(f"fuzz: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
