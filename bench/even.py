"""How evenly two workers of one listening socket share connections and requests.

    .venv/bin/python bench/even.py [ROUNDS]

Each round opens 64 connections at once, which are kept and send one request after the other for a
second. The response says which worker it is from.
"""

from __future__ import annotations

import asyncio
import collections
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONNECTIONS, SECONDS = 64, 1.0
APP = """
import os
from fluvial import App

app = App()

@app.get("/")
async def index() -> int:
    return os.getpid()
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
Counts = collections.Counter[int]


async def keep_asking(port: int, until: float, connections: Counts, requests: Counts) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pid = 0
    while time.monotonic() < until:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: (\d+)", head)
        assert found is not None, head
        pid = int(await reader.readexactly(int(found[1])))
        requests[pid] += 1
    connections[pid] += 1
    writer.close()


async def ask(port: int) -> str:
    connections, requests = Counts(), Counts()
    until = time.monotonic() + SECONDS
    asking = (keep_asking(port, until, connections, requests) for _ in range(CONNECTIONS))
    await asyncio.gather(*asking)
    return f"connections {shares(connections)}  requests {shares(requests)}"


def shares(counts: Counts) -> str:
    found = [100 * count / counts.total() for count in counts.values()]
    return "/".join(f"{share:.0f}" for share in sorted(found, reverse=True))


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "it.py").write_text(APP)
        fluvial = Path(sys.executable).with_name("fluvial")
        options = ("--workers", "2", "--port", "0", "--no-access-log", "--app-dir", folder)
        command = [fluvial, "run", "it:app", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            ready: list[str] = []
            for line in server.stderr:
                ready += [line] if "Fluvial running on" in line else []
                if len(ready) == 2:
                    break
            port = int(ready[0].split("127.0.0.1:")[1].split()[0])
            for _ in range(rounds):
                print(asyncio.run(ask(port)), flush=True)
            server.terminate()


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["8"])[0]))
