"""Sub-interpreters that share the GIL, as mod_wsgi makes them: everything works there but signals,
which only the main interpreter hears of. Those with a GIL of their own refuse the import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys

def run(code, own_gil):
    try:
        import _interpreters
    except ImportError:
        import _xxsubinterpreters as old
        one = old.create(isolated=own_gil)
        try:
            old.run_string(one, code)
        finally:
            old.destroy(one)
    else:
        one = _interpreters.create("isolated" if own_gil else "legacy")
        failed = _interpreters.exec(one, code)
        _interpreters.destroy(one)
        if failed is not None:
            sys.exit(failed.formatted)
"""

LOOP = """
import asyncio, fluvial

async def main():
    await asyncio.sleep(0.001)
    reader, writer = await asyncio.open_connection(*await serve())
    writer.write(b"hello")
    print(await reader.readexactly(5))
    writer.close()
    print(await asyncio.to_thread(lambda: "thread"))

async def serve():
    async def echo(reader, writer):
        writer.write(await reader.read(100))
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    return server.sockets[0].getsockname()

with asyncio.Runner(loop_factory=fluvial.Loop) as runner:
    runner.run(main())
"""

SERVER = """
import asyncio, socket, threading, time
import fluvial
from fluvial._serving import server as _server

app = fluvial.App()

@app.get("/async")
async def on_the_loop() -> str:
    await asyncio.sleep(0.001)
    loops.append(asyncio.get_running_loop())
    return "async"

@app.get("/def")
def in_a_thread() -> str:
    return "def"

services, loops = [], []

class Kept(_server.Service):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        services.append(self)

_server.Service = Kept

def connect(sock):
    while True:
        try:
            return sock.connect(UDS)
        except OSError:
            time.sleep(0.01)

def ask():
    for path in (b"/async", b"/def", b"/def"):
        with socket.socket(socket.AF_UNIX) as sock:
            connect(sock)
            sock.sendall(b"GET %b HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n" % path)
            answer = b"".join(iter(lambda: sock.recv(1000), b""))
            print(answer.rpartition(b"\\r\\n")[2].decode())
    loops[0].call_soon_threadsafe(services[0].stop)

asking = threading.Thread(target=ask)
asking.start()
fluvial.run(app, uds=UDS, access_log=False)
asking.join()
"""


def run(code: str, *, own_gil: bool = False) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"{RUN}\nrun({code!r}, {own_gil})"],
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_the_loop() -> None:
    done = run(LOOP)
    assert (done.stdout, done.stderr) == ("b'hello'\nthread\n", "")


def test_a_server(tmp_path: Path) -> None:
    done = run(SERVER.replace("UDS", repr(str(tmp_path / "socket"))))
    assert (done.stdout, done.returncode) == ('"async"\n"def"\n"def"\n', 0), done.stderr


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all share one GIL before 3.12")
def test_one_with_a_gil_of_its_own_refuses_the_import() -> None:
    done = run("import fluvial", own_gil=True)
    assert "does not support loading in subinterpreters" in done.stderr
    assert done.returncode != 0


@pytest.mark.skipif(sys.version_info < (3, 12), reason="all share one GIL before 3.12")
@pytest.mark.parametrize("name", ["msgspec", "pydantic_core"])
def test_what_fluvial_stands_on_refuses_it_as_well(name: str) -> None:
    """When this fails, ADR 23 is to be decided anew."""
    done = run(f"import {name}", own_gil=True)
    assert "does not support loading in subinterpreters" in done.stderr
    assert done.returncode != 0
