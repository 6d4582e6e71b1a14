"""Load: wrk for throughput and latency, plain sockets for what wrk can't show."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

PIPELINE = Path(__file__).resolve().parent.parent / "pipeline.lua"
REPLY_SECONDS = 10.0


class LoadFailed(RuntimeError):
    """wrk failed, or the server answered with errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What wrk sends: `connections` keep-alive connections, `depth` requests per write; POST
    with `body` bytes when there are any. `requests` are sent in turn as they are instead."""

    scheme: str = "http"
    path: str
    connections: int = 64
    depth: int = 1
    body: int = 0
    requests: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What wrk saw in one run."""

    requests: int
    rps: float
    p50_ms: float
    p99_ms: float


def start_wrk(load: Load, port: int, seconds: int) -> subprocess.Popen[str]:
    url = f"{load.scheme}://127.0.0.1:{port}{load.path}"
    command = [
        *("wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "10s"),
        *("-s", str(PIPELINE), url, "--", str(load.depth)),
    ]
    env = {"CONNECTIONS": str(load.connections), "BODY": str(load.body)}
    return subprocess.Popen(
        command,
        env={**os.environ, **env, "REQUESTS": ",".join(map(bytes.hex, load.requests))},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish_wrk(wrk: subprocess.Popen[str]) -> Reply:
    output, _ = wrk.communicate()
    found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if wrk.returncode != 0 or found is None:
        raise LoadFailed(f"wrk ended with status {wrk.returncode}:\n{output}")
    result = json.loads(found.group(1))
    errors = {k: result[k] for k in ("socket_errors", "timeouts", "bad_status") if result[k]}
    if errors or not result["requests"]:
        raise LoadFailed(f"{result['requests']} answers, errors: {errors}")
    return Reply(
        requests=result["requests"],
        rps=result["requests"] / result["duration_us"] * 1e6,
        p50_ms=result["p50_us"] / 1000,
        p99_ms=result["p99_us"] / 1000,
    )


def run_wrk(load: Load, port: int, seconds: int) -> Reply:
    return finish_wrk(start_wrk(load, port, seconds))


def children_cpu_seconds() -> float:
    """CPU time of the load generators that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def allow_descriptors(count: int) -> None:
    """Raises the limit of open files, which the servers inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))


class Client:
    """One keep-alive connection on a plain socket."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=REPLY_SECONDS)
        self._unread = b""

    def send(self, path: str, times: int = 1, body: str | None = None) -> None:
        """Sends a request, or several pipelined in one write; with a body it is a POST of JSON."""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        if body is not None:
            fields = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}"
            request = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n\r\n{body}"
        self.sock.sendall(request.encode() * times)

    def receive(self, times: int = 1) -> None:
        """Reads as many answers to their ends; each must be a 200."""
        for _ in range(times):
            while not self._take_answer():
                chunk = self.sock.recv(65536)
                if not chunk:
                    raise LoadFailed(f"connection closed after {self._unread[:100]!r}")
                self._unread += chunk

    def get(self, path: str) -> None:
        self.send(path)
        self.receive()

    def _take_answer(self) -> bool:
        head, separator, rest = self._unread.partition(b"\r\n\r\n")
        if not separator or len(rest) < (size := _content_length(head)):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise LoadFailed(f"answer: {head[:100]!r}")
        self._unread = rest[size:]
        return True

    def close(self) -> None:
        self.sock.close()


def burst_ms(port: int, path: str, count: int) -> float:
    """Milliseconds from sending one request on each of `count` connections to the last answer."""
    clients = [Client(port) for _ in range(count)]
    try:
        with select.epoll() as poll:
            waiting = {client.sock.fileno(): client for client in clients}
            for fd in waiting:
                poll.register(fd, select.EPOLLIN)
            start = time.perf_counter()
            for client in clients:
                client.send(path)
            while waiting:
                events = poll.poll(REPLY_SECONDS)
                if not events:
                    raise LoadFailed(f"{len(waiting)} of {count} answers missing")
                for fd, _ in events:
                    waiting.pop(fd).receive()
                    poll.unregister(fd)
            return (time.perf_counter() - start) * 1000
    finally:
        for client in clients:
            client.close()


def _content_length(head: bytes) -> int:
    found = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
    if found is None:
        raise LoadFailed(f"no Content-Length in {head[:200]!r}")
    return int(found.group(1))


def pin_to(cpu: int | None) -> None:
    """Pins this process, and so the load generators that it starts."""
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
