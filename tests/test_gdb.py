"""scripts/gdb.py: what gdb prints of structs that lie in a program's data; nothing is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import native  # noqa: E402
import vendor  # noqa: E402

PROGRAM = r"""
#include "base/py.h"
#include "http/conn.h"

Slice slice = {"GET /\r\n", 7}, empty, wild = {(const char *)8, 3};
Buf buf = {"kept", 4, 64};
HttpRequest req = {
    .method = HTTP_POST, .head = {"/itemshost", 10, 64}, .target_len = 6,
    .response = HTTP_RESPONSE_STREAMING,
};
HttpConn idle;
llhttp_method_t method; /* else the compiler leaves the type out */
HttpConn conn = {
    .state = CONN_BODY, .req = &req, .held = true, .eof = true, .kept = {"abcdef", 6, 8},
    .kept_from = 2, .body_received = 5, .deadline = {.kind = DEADLINE_BODY},
    .stream = {.state = STREAM_OPEN, .reading = true, .queued = 10,
               .uv.stream.io_watcher.fd = 13},
};
int main(void) { return 0; }
"""

EXPECTED = {
    "slice": r"b'GET /\r\n' (7 bytes)",
    "empty": 'b"" (0 bytes)',
    "wild": "<3 bytes at 0x8, not readable> (3 bytes)",
    "buf": "b'kept' (4 of 64 bytes)",
    "idle.stream": "STREAM_UNUSED",
    "conn.stream": "STREAM_OPEN on descriptor 13, reading, 10 bytes queued",
    "conn": "CONN_BODY, POST b'/items' (response: HTTP_RESPONSE_STREAMING), 5 bytes of body, "
    "4 kept, eof, held, DEADLINE_BODY, {STREAM_OPEN on descriptor 13, reading, 10 bytes queued}",
}


@pytest.mark.skipif(shutil.which("gdb") is None, reason="gdb is not installed")
def test_printers(tmp_path: Path) -> None:
    source, program = tmp_path / "structs.c", tmp_path / "structs"
    source.write_text(PROGRAM)
    flags = ["-std=c11", "-g", "-O0", "-no-pie", "-fno-pie", "-w", "-I", str(ROOT / "ext")]
    for name in ("llhttp", "libuv"):
        flags += ["-isystem", str(vendor.fetch(name) / "include")]
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [*native.Toolchain().cc, *flags, *native.python_flags()]
    subprocess.run([*command, str(source), "-o", str(program)], env=env, check=True)
    command = ["gdb", "--batch", "--nx", "-x", str(ROOT / "scripts" / "gdb.py"), str(program)]
    for name in EXPECTED:
        command += ["-ex", f"output {name}", "-ex", r"echo \n"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == list(EXPECTED.values()), done.stderr
