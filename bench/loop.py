"""Measures fluvial.Loop beside asyncio's own loop and uvloop, in one run on one core.

Each case runs on each loop in turn, round by round, in processes of their own; figures are
medians over the rounds. bench/README.md tells the method.

    python bench/loop.py                                everything, about eight minutes
    python bench/loop.py --only tcp_1k,tasks --rounds 3
    python bench/loop.py --loops uvloop,fluvial --seconds 1 --json out.json
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import ssl
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness import load, report  # noqa: E402
from bench.harness.options import some_of  # noqa: E402
from bench.harness.process import ServerFailed, ServerProcess, free_port  # noqa: E402
from bench.harness.raw import build_echo_load  # noqa: E402
from bench.harness.results import Results  # noqa: E402
from bench.harness.servers import WORK, Peers  # noqa: E402
from bench.loops.cases import (  # noqa: E402
    CASES,
    CONNECTIONS,
    IDLE_CONNECTIONS,
    SHORT_CONNECTIONS,
    Case,
    Connections,
    Echo,
    Lateness,
    Program,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LOOPS = ("asyncio", "uvloop", "fluvial")
WORKER = ROOT / "bench" / "loops" / "worker.py"
KIB = 1024
Figures = dict[str, float]


class Bench:
    """Where each loop's Python is, which core it gets, and how long a round takes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._cpu, self._load_cpu = options.cpus
        self._seconds = options.seconds
        self._peers = Peers.install().python
        self._load = build_echo_load()
        self._certificate = _certificate() if any("tls" in name for name in options.only) else []

    def measure(self, case: Case, loop: str) -> Figures:
        """One round. Raises ServerFailed or load.LoadFailed."""
        if isinstance(case, Lateness):
            late = self._worker(case.count, loop, "lateness", case.name)
            return {name: late[name] for name in ("early_us", "late_p50_us", "late_p99_us")}
        if isinstance(case, Program):
            return self._program(case, loop)
        with self._server(case, loop) as (server, where):
            if isinstance(case, Echo):
                return self._echo(case, server, where)
            if case.idle:
                return idle_connections(server)
            return short_connections(server, case.server == "tls")

    def _command(self, loop: str) -> list[str]:
        python = str(self._peers) if loop == "uvloop" else sys.executable
        pin = ["taskset", "-c", str(self._cpu)] if self._cpu is not None else []
        return [*pin, python, str(WORKER), loop]

    def _worker(self, count: int, loop: str, action: str, case: str) -> Figures:
        done = subprocess.run(
            [*self._command(loop), action, case, str(count)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise load.LoadFailed(f"{loop}: {done.stderr[-2000:]}")
        result: Figures = json.loads(done.stdout)
        return result

    def _program(self, case: Program, loop: str) -> Figures:
        result = self._worker(case.count, loop, "run", case.name)
        seconds = result["wall"] if case.wall else result["cpu"]
        return _figures(result["count"], seconds, result["wall"])

    def _echo(self, case: Echo, server: ServerProcess, where: str) -> Figures:
        pin = ["taskset", "-c", str(self._load_cpu)] if self._load_cpu is not None else []
        command = [*pin, str(self._load), case.transport, where, str(CONNECTIONS), str(case.size)]
        _echo_load([*command, "0.3"])
        used = server.usage()
        messages, wall = _echo_load([*command, str(self._seconds)])
        used = server.usage() - used
        server.check()
        return _figures(messages, used.cpu_ns / 1e9, wall)

    @contextmanager
    def _server(self, case: Echo | Connections, loop: str) -> Iterator[tuple[ServerProcess, str]]:
        port = free_port()
        path = WORK / "echo.sock"
        path.unlink(missing_ok=True)
        where = str(path) if case.server == "unix" else str(port)
        with ServerProcess.start(
            loop,
            [*self._command(loop), "serve", case.server, where, *self._certificate],
            port=port,
            cpu=None,
            cwd=ROOT,
            env={},
            log=WORK / f"loop-{loop}.log",
        ) as server:
            server.wait_output("ready")
            yield server, where


def _figures(count: int, seconds: float, wall: float) -> Figures:
    return {"rps": count / wall, "cpu_us": seconds / count * 1e6, "speed": count / seconds}


def _echo_load(command: Sequence[str]) -> tuple[int, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise load.LoadFailed(done.stderr[-2000:])
    messages, seconds = done.stdout.split()
    return int(messages), float(seconds)


def idle_connections(server: ServerProcess) -> Figures:
    """What each of many connections adds to the server's memory after its first message."""
    connections: list[socket.socket] = []

    def connect() -> None:
        sock = socket.create_connection(("127.0.0.1", server.port))
        connections.append(sock)
        _one_echo(sock)

    try:
        for _ in range(50):
            connect()
        before = server.resident_bytes()
        for _ in range(IDLE_CONNECTIONS):
            connect()
        added = (server.resident_bytes() - before) / IDLE_CONNECTIONS
    finally:
        for sock in connections:
            sock.close()
    return {"conn_kib": added / KIB, "speed": 1 / added}


def short_connections(server: ServerProcess, tls: bool) -> Figures:
    """CPU of the server for connections that echo one byte, one connection after the other."""

    wrap = _client_context().wrap_socket if tls else None

    def connect(times: int) -> None:
        for _ in range(times):
            sock = socket.create_connection(("127.0.0.1", server.port))
            with sock if wrap is None else wrap(sock) as connection:
                _one_echo(connection)

    connect(SHORT_CONNECTIONS // 10)
    used, start = server.usage(), time.perf_counter()
    connect(SHORT_CONNECTIONS)
    wall = time.perf_counter() - start
    used = server.usage() - used
    return _figures(SHORT_CONNECTIONS, used.cpu_ns / 1e9, wall)


def _one_echo(sock: socket.socket) -> None:
    sock.sendall(b"x")
    if sock.recv(2) != b"x":
        raise load.LoadFailed("the server closed a connection")


def _client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _certificate() -> list[str]:
    files = [str(WORK / name) for name in ("loop.crt", "loop.key")]
    WORK.mkdir(parents=True, exist_ok=True)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


def main() -> int:
    options = parse_options()
    load.allow_descriptors(IDLE_CONNECTIONS * 2)
    bench = Bench(options)
    load.pin_to(options.cpus[1])
    print(
        f"# {time.strftime('%Y-%m-%d %H:%M')}, CPython {platform.python_version()}, "
        f"Linux {platform.release()}; {options.rounds} rounds, medians; "
        f"echo: {CONNECTIONS} connections, {options.seconds} s",
        flush=True,
    )
    results = Results()
    cases = [case for case in CASES if case.name in options.only]
    failed = False
    for case in cases:
        print(f"\n## {case.name}: {case.about}\n", flush=True)
        try:
            for _ in range(options.rounds):
                for loop in options.loops:
                    results.add(case.name, loop, bench.measure(case, loop))
        except (ServerFailed, load.LoadFailed) as error:
            failed = True
            print(f"FAILED: {error}\n", flush=True)
        print(report.loop_table(case, results), flush=True)
    if "uvloop" in options.loops and "fluvial" in options.loops:
        print(f"\n## targets\n\n{report.loop_target_table(cases, results)}")
    if options.json is not None:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    return 1 if failed else 0


def parse_options() -> argparse.Namespace:
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], epilog=f"cases: {', '.join(names)}"
    )
    parser.add_argument("--only", type=some_of(names), default=names, metavar="CASE,…")
    parser.add_argument("--loops", type=some_of(LOOPS), default=list(LOOPS), metavar="NAME,…")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per case (5)")
    parser.add_argument("--seconds", type=float, default=2, help="seconds of an echo round (2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rounds there")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    pinned = len(cores) > 1 and shutil.which("taskset") is not None
    options.cpus = (cores[0], cores[1]) if pinned else (None, None)
    return options


if __name__ == "__main__":
    sys.exit(main())
