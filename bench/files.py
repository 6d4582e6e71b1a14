"""Files of several sizes by sendfile(2) and by reading, in turn: `python bench/files.py`.

The server is bench/apps/files_app.py on one core. The load, on the other, is a few connections that
ask for the file again and again and drop what comes (MSG_TRUNC). Figures are wall time and the
server's CPU time, of all its threads, for each file.
"""

from __future__ import annotations

import argparse
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
SIZES = {"4 KiB": 4096, "1 MiB": 1 << 20, "100 MiB": 100 << 20}  # bytes
CONNECTIONS = 4
WAYS = ("copied", "read")


class Cost(NamedTuple):
    """Of one file, in microseconds."""

    wall: float
    cpu: float


def fetch(sock: socket.socket, target: str, size: int) -> None:
    """One request; the body is dropped in the kernel."""
    sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536)
    head, _, rest = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        sys.exit(f"the server answered {head!r}")
    left = size - len(rest)
    while left > 0:
        received = sock.recv_into(DROPPED, min(left, len(DROPPED)), socket.MSG_TRUNC)
        if received == 0:
            sys.exit("the server cut an answer off")
        left -= received


DROPPED = bytearray(1 << 20)


def measure(server: ServerProcess, target: str, size: int, seconds: float) -> Cost:
    """Asks for the file over all connections for so long."""
    counts: list[int] = []
    before, start = server.usage(), time.perf_counter()

    def load() -> None:
        count = 0
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            while count == 0 or time.perf_counter() < start + seconds:
                fetch(sock, target, size)
                count += 1
        counts.append(count)

    threads = [threading.Thread(target=load) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - start
    cpu = (server.usage() - before).cpu_ns / 1000
    return Cost(wall * 1e6 / sum(counts), cpu / sum(counts))


def report(name: str, rounds: dict[str, list[Cost]]) -> None:
    """One line of the table."""
    wall, cpu = (
        {way: statistics.median(cost[i] for cost in rounds[way]) for way in WAYS} for i in (0, 1)
    )
    print(
        f"| {name:7} | {wall['read']:8.0f} µs | {wall['copied']:8.0f} µs "
        f"| {wall['read'] / wall['copied']:6.2f} | {cpu['read']:8.0f} µs "
        f"| {cpu['copied']:8.0f} µs | {cpu['read'] / cpu['copied']:6.2f} |"
    )


def main() -> None:
    """Runs all sizes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        for size in SIZES.values():
            (Path(folder) / str(size)).write_bytes(os.urandom(size))
        port = free_port()
        command = [str(Path(sys.executable).with_name("fluvial")), "run", "files_app:app"]
        command += ["--app-dir", str(HERE / "apps"), "--port", str(port), "--no-access-log"]
        with ServerProcess.start(
            "fluvial",
            command,
            port=port,
            cpu=0,
            cwd=HERE,
            env={"FILES": folder},
            log=Path(folder) / "log",
        ) as server:
            server.wait_ready()
            print("| file | wall, read | wall, copied | ratio | CPU, read | CPU, copied | ratio |")
            print("|---|--:|--:|--:|--:|--:|--:|")
            for name, size in SIZES.items():
                rounds: dict[str, list[Cost]] = {way: [] for way in WAYS}
                for _ in range(options.rounds):
                    for way in WAYS:
                        cost = measure(server, f"/{way}/{size}", size, options.seconds)
                        rounds[way].append(cost)
                report(name, rounds)


if __name__ == "__main__":
    main()
