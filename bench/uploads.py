"""Uploads of 20 MB in a form, beside FastAPI on uvicorn: `python bench/uploads.py`.

The servers (bench/apps/uploads_app.py) run on one core and take turns; the load, on the other, is a
few connections that send the form again and again. Figures are megabytes per second of the server's
CPU time, of all its threads, and of wall time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from harness.process import ServerProcess, free_port

HERE = Path(__file__).resolve().parent
SIZE = 20_000_000  # bytes
CONNECTIONS = 2
BOUNDARY = b"----WebKitFormBoundary7MA4YWxkTrZu0gW"  # a browser's
HEAD = (
    b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="file"; filename="f.bin"\r\n'
    b"Content-Type: application/octet-stream\r\n\r\n"
)
FORM = HEAD + os.urandom(SIZE) + b"\r\n--" + BOUNDARY + b"--\r\n"


class Rate(NamedTuple):
    """Megabytes per second."""

    cpu: float
    wall: float


def upload(sock: socket.socket, path: str) -> None:
    """One request on an open connection."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(FORM)}\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n\r\n"
    sock.sendall(head.encode() + kind)
    sock.sendall(FORM)
    answer = b""
    while not answer.endswith(b"%d" % SIZE):
        if not (piece := sock.recv(65536)):
            sys.exit(f"the server answered {answer!r}")
        answer += piece


def measure(server: ServerProcess, path: str, count: int) -> Rate:
    """Sends the form `count` times over each connection."""
    before, start = server.usage(), time.perf_counter()

    def load() -> None:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            for _ in range(count):
                upload(sock, path)

    threads = [threading.Thread(target=load) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - start
    megabytes = SIZE * count * CONNECTIONS / 1e6
    return Rate(megabytes * 1e9 / (server.usage() - before).cpu_ns, megabytes / wall)


def start(name: str, folder: Path) -> ServerProcess:
    """Starts one of the two."""
    port = free_port()
    programs = Path(sys.executable).parent
    command = [str(programs / "fluvial"), "run", "uploads_app:app", "--no-access-log"]
    if name == "fastapi":
        command = [str(programs / "uvicorn"), "uploads_app:app", "--no-access-log"]
    return ServerProcess.start(
        name,
        [*command, "--app-dir", str(HERE / "apps"), "--port", str(port)],
        port=port,
        cpu=0,
        cwd=HERE,
        env={"FRAMEWORK": name},
        log=folder / name,
    )


def main() -> None:
    """Runs both and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        servers = {name: start(name, Path(folder)) for name in ("fluvial", "fastapi")}
        for server in servers.values():
            stack.enter_context(server)
            server.wait_ready()
        print("| handler | MB/CPU s: Fluvial | FastAPI | ratio | MB/s: Fluvial | FastAPI | ratio |")
        print("|---|--:|--:|--:|--:|--:|--:|")
        for path in ("/file", "/def"):
            rounds: dict[str, list[Rate]] = {name: [] for name in servers}
            for _ in range(options.rounds):
                for name, server in servers.items():
                    rounds[name].append(measure(server, path, options.count))
            report(path, rounds)


def report(path: str, rounds: dict[str, list[Rate]]) -> None:
    """One line of the table."""
    cells: list[str] = []
    for i in (0, 1):
        ours, theirs = (statistics.median(rate[i] for rate in rates) for rates in rounds.values())
        cells += [f"{ours:6.0f}", f"{theirs:6.0f}", f"{ours / theirs:5.2f}"]
    print(f"| {path:7} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
