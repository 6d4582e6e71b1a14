"""What clients and the system do to a server: it serves on, and what they used comes back.

In `make test` a few times each; with FAULTS=1, as by `make faults`, as often as it takes to see a
leak of a few bytes, with 10,000 slow clients and bodies of 1 GiB.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import struct
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx
import psutil
import pytest
from support.command import PATIENCE, ServerProcess, launched
from support.workers import until

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = bool(os.environ.get("FAULTS"))
TIMES = 2000 if FULL else 30
SLOW = 10_000 if FULL else 100
SIZE = (1024 if FULL else 16) * 1024 * 1024  # bytes
MEMORY = 8 * 1024 * 1024  # bytes by which a server may grow
FEW = 4  # threads that come once, for what wasn't done before
PIECE = 65536

APP = """
import asyncio, os
from fluvial import App, Request, StreamingResponse, WebSocket

app = App()

@app.get("/pid")
async def pid():
    return os.getpid()

@app.get("/waits")
async def waits():
    await asyncio.sleep(0.01)

@app.post("/size")
async def size(request: Request):
    total = 0
    async for piece in request.stream():
        total += len(piece)
    return total

@app.get("/bytes/{pieces}")
async def some(pieces: int):
    async def send():
        for _ in range(pieces):
            yield b"x" * 65536
    return StreamingResponse(send())

@app.websocket("/ws")
async def echo(ws: WebSocket):
    await ws.accept()
    async for text in ws.iter_text():
        await ws.send_text(text)
"""
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
PID = b"GET /pid HTTP/1.1\r\nHost: localhost\r\n\r\n"
# What a client has sent when it goes, and whether it waits for a part of the response.
STATES = {
    "connected": (b"", False),
    "head": (b"POST /size HTTP/1.1\r\nHo", False),
    "body": (b"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nx", False),
    "chunk": (b"POST /size HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nx", False),
    "handler": (b"GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n", False),
    "response": (b"GET /bytes/9999 HTTP/1.1\r\nHost: localhost\r\n\r\n", True),
    "pipelined": (PID * 50, True),
    "websocket": (HANDSHAKE, True),
    "frame": (HANDSHAKE + b"\x81\xfe\x10\x00", True),
}


class Figures(NamedTuple):
    """Of the server's process."""

    descriptors: int
    threads: int
    memory: int  # bytes


def figures(server: ServerProcess) -> Figures:
    process = psutil.Process(server.process.pid)
    return Figures(process.num_fds(), process.num_threads(), process.memory_info().rss)


def address(server: ServerProcess) -> tuple[str, int]:
    url = httpx.URL(server.url)
    assert url.port is not None
    return url.host, url.port


def connect(server: ServerProcess) -> socket.socket:
    sock = socket.create_connection(address(server), PATIENCE)
    sock.settimeout(PATIENCE)
    return sock


def ask(sock: socket.socket) -> int:
    """The process that answers on this connection."""
    sock.sendall(PID)
    answer = b""
    while not (found := re.search(rb"\r\n\r\n(\d+)$", answer)):
        piece = sock.recv(4096)
        if not piece:
            raise ConnectionResetError(f"after {answer!r}")
        answer += piece
    assert answer.startswith(b"HTTP/1.1 200")
    return int(found[1])


def assert_as_before(server: ServerProcess, before: Figures, memory: int = MEMORY) -> None:
    """The server answers, and in the end has what it had."""

    def is_back() -> bool:
        nonlocal now
        now = figures(server)
        return now.descriptors <= before.descriptors and now.threads <= before.threads + FEW

    now = before
    with connect(server) as sock:
        assert ask(sock) == server.process.pid
    try:
        until(is_back)
    except AssertionError as exc:
        exc.add_note(f"{before} before, {now} now")
        raise
    assert figures(server).memory - before.memory < memory
    assert "Traceback" not in server.log


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    (folder / "it.py").write_text(APP)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[ServerProcess]:
    options = ("--no-access-log", "--limit-body", "0")
    with launched("it:app", *options, app_dir=folder, fork=False) as server:
        server.wait_until_ready()
        with connect(server) as sock:
            ask(sock)
        yield server
        assert server.stop() == 0


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """In this process and those that it starts."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("state", STATES)
def test_clients_that_go_in_any_state(server: ServerProcess, state: str, reset: bool) -> None:
    sent, answered = STATES[state]

    def go(times: int) -> None:
        for _ in range(times):
            with connect(server) as sock:
                sock.sendall(sent)
                assert not answered or sock.recv(1)
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    go(20)
    before = figures(server)
    go(TIMES)
    # What was there while the last of the first ones went is no more than what idle servers have.
    assert_as_before(server, before)


def test_clients_that_close_their_half_get_their_responses(server: ServerProcess) -> None:
    before = figures(server)
    for _ in range(TIMES):
        with connect(server) as sock:
            sock.sendall(PID)
            sock.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda sock=sock: sock.recv(4096), b""))  # type: ignore[misc]
            assert answer.endswith(b"\r\n\r\n%d" % server.process.pid)
    assert_as_before(server, before)


@pytest.mark.usefixtures("many_descriptors")
def test_slow_clients_hold_up_nobody(folder: Path) -> None:
    """They send a byte and wait; a kilobyte or two is what each may cost."""
    started = launched("it:app", app_dir=folder, fork=False)
    with started as server, contextlib.ExitStack() as stack:
        server.wait_until_ready()
        with connect(server) as sock:
            ask(sock)
        before = figures(server)
        for number in range(SLOW):
            stack.enter_context(connect(server)).sendall(b"G")
            if number % 100 == 99:
                with connect(server) as sock:
                    assert ask(sock) == server.process.pid
        assert figures(server).memory - before.memory < MEMORY + 2500 * SLOW
        stack.close()
        assert_as_before(server, before, MEMORY + 2500 * SLOW)


def peak(server: ServerProcess) -> int:
    """Bytes of memory that the server had at most."""
    text = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", text)
    assert found
    return int(found[1]) * 1024


def test_large_bodies_take_little_memory(server: ServerProcess) -> None:
    before, highest = figures(server), peak(server)
    with connect(server) as sock:
        head = f"POST /size HTTP/1.1\r\nHost: localhost\r\nContent-Length: {SIZE}\r\n\r\n"
        sock.sendall(head.encode())
        for _ in range(SIZE // PIECE):
            sock.sendall(b"x" * PIECE)
        sock.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
        assert answer.endswith(b"\r\n\r\n%d" % SIZE)
    with connect(server) as sock:
        sock.sendall(b"GET /bytes/%d HTTP/1.0\r\n\r\n" % (SIZE // PIECE))
        got = sum(len(piece) for piece in iter(lambda: sock.recv(PIECE), b""))
        assert SIZE < got < SIZE + 4096
    assert peak(server) - highest < MEMORY
    assert_as_before(server, before)


def test_no_descriptor_is_left(folder: Path) -> None:
    """Clients wait until there are some; each gets its response."""
    prefix = ("prlimit", "--nofile=64:64")
    with launched("it:app", "--keep-alive", "0", app_dir=folder, prefix=prefix) as server:
        server.wait_until_ready()
        with connect(server) as sock:
            ask(sock)
        before = figures(server)
        for _ in range(20 if FULL else 2):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(connect(server)) for _ in range(100)]
                for sock in clients:
                    assert ask(sock) == server.process.pid
                    sock.close()
        assert_as_before(server, before)


def test_a_worker_that_is_killed_fails_its_own_requests_only(folder: Path) -> None:
    options = ("--workers", "2", "--no-access-log")
    with launched("it:app", *options, app_dir=folder, fork=False) as server:
        server.expect("Fluvial running on", 2)
        for times in range(1, 31 if FULL else 3):
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(connect(server)) for _ in range(10)]
                pids = [ask(sock) for sock in clients]
                victim = pids[0]
                process = psutil.Process(victim)
                process.kill()
                process.wait(PATIENCE)
                for sock, pid in zip(clients, pids, strict=True):
                    if pid != victim:
                        assert ask(sock) == pid
                with connect(server) as sock:
                    assert ask(sock) != victim
            server.expect("Fluvial running on", 2 + times)
        assert server.stop() == 0
