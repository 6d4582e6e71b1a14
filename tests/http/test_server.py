"""The server as a whole: access log, limits on connections, other sockets, memory, errors."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from support.flat import resident
from support.http_core import load
from support.http_server import Handler, serving
from support.responses import Response, read_all
from support.sanitizer import measures_memory

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


# ---- Access log ----------------------------------------------------------------------------


def logged(path: Path, *raws: bytes) -> list[str]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        with serving(Handler(), log_fd=fd) as server:
            for raw in raws:
                server.send(raw, eof=True)
        return path.read_text(encoding="ascii").splitlines()
    finally:
        os.close(fd)


def test_the_access_log(tmp_path: Path) -> None:
    lines = logged(
        tmp_path / "log",
        b'GET /a?b="\\ HTTP/1.1\r\nHost: h\r\n\r\n',
        b"POST /x HTTP/1.0\r\n\r\n",
        b"GET /y HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01",
    )
    assert [re.sub(r"127\.0\.0\.1:\d+", "CLIENT", line) for line in lines] == [
        'INFO:     CLIENT - "GET /a?b=%22%5C HTTP/1.1" 200 OK',
        'INFO:     CLIENT - "POST /x HTTP/1.0" 200 OK',
        'INFO:     CLIENT - "GET /y HTTP/1.1" 400 Bad Request',
        'INFO:     CLIENT - "" 400 Bad Request',
    ]


def test_many_lines(tmp_path: Path) -> None:
    count = 2000
    lines = logged(tmp_path / "log", GET * count)
    assert len(lines) == count
    assert len(set(lines)) == 1


def test_a_log_that_nobody_reads_does_not_stop_the_server() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        with serving(Handler(), log_fd=writer) as server:
            responses = server.send(GET * 4000, eof=True)
        assert len(responses) == 4000
    finally:
        os.close(reader)
        os.close(writer)


def test_a_log_whose_reader_is_gone_does_not_stop_the_server() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with serving(Handler(), log_fd=writer) as server:
            assert len(server.send(GET * 10, eof=True)) == 10
    finally:
        os.close(writer)


# ---- Sockets -------------------------------------------------------------------------------


def test_a_unix_socket(tmp_path: Path) -> None:
    class Peers(Handler):
        def answer(self, request: Any) -> None:
            request.respond(200, repr((request.client(), request.server())).encode())

    path = tmp_path / "socket"
    with serving(Peers(), path=path) as server:
        (response,) = server.send(GET, eof=True)
    assert response.body == repr((("", 0), (str(path), 0))).encode()


def test_addresses_of_both_ends() -> None:
    class Peers(Handler):
        def answer(self, request: Any) -> None:
            names = [(request.client(), request.server()) for _ in range(2)]
            assert names[0] == names[1]
            request.respond(200, repr(names[0]).encode())

    with serving(Peers()) as server, server.connect() as sock:
        sock.sendall(GET)
        response = Response.receive(sock)
        assert response.body == repr((sock.getsockname(), sock.getpeername())).encode()


def test_listening_on_something_else_is_an_error() -> None:
    core, loop_type = load()
    loop = loop_type()
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="Socket operation on non-socket"):
            core.HttpServer(loop, Handler(), reader)
    finally:
        os.close(reader)
        os.close(writer)
        loop.close()


def test_closing_the_loop_under_a_server_closes_the_server() -> None:
    core, loop_type = load()
    loop = loop_type()
    handler = Handler()
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    address = bound.getsockname()
    server = core.HttpServer(loop, handler, bound.detach())
    with socket.create_connection(address) as sock:
        sock.sendall(GET)
        while server.stats()["open"] == 0:
            loop.call_later(0.001, loop.stop)
            loop.run_forever()
        loop.close()
        assert read_all(sock)[1]
    assert handler.events[-1] == ("drained",)
    assert server.stats()["open"] == 0


# ---- Limits on connections -----------------------------------------------------------------


def test_connections_past_the_limit_wait() -> None:
    with serving(Handler(), connections=2) as server:
        first, second, third = (server.connect() for _ in range(3))
        third.sendall(GET)
        for sock in (first, second):
            sock.sendall(GET)
            assert sock.recv(1000)
        assert server.stats()["accepted"] == 2
        first.close()
        assert third.recv(1000)
        assert server.stats()["accepted"] == 3


def test_running_out_of_descriptors() -> None:
    """Clients wait in the backlog until there are descriptors again; the lack is reported."""
    with serving(Handler()) as server:
        reports: list[str] = []
        server.call(
            server.loop.set_exception_handler,
            lambda _, context: reports.append(f"{context['message']}: {context['exception']}"),
        )
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        sock = server.connect()
        sock.sendall(GET)
        assert sock.recv(1000)
        waiting = socket.socket()
        hoard = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
            try:
                while True:
                    hoard.append(os.dup(0))
            except OSError:
                pass
            waiting.settimeout(30)
            waiting.connect(server.address)
            waiting.sendall(GET)
            while not reports:
                sock.sendall(GET)
                assert sock.recv(1000)
        finally:
            for fd in hoard:
                os.close(fd)
            resource.setrlimit(resource.RLIMIT_NOFILE, before)
        assert waiting.recv(1000)
        waiting.close()
        assert len(reports) == 1
        assert "accepting a connection failed" in reports[0]
        assert "Too many open files" in reports[0]


def listening_on(address: Any) -> socket.socket:
    """A duplicate of this process's socket that listens there."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as sock:
            listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and sock.getsockname() == address:
                copy = sock.dup()
                copy.setblocking(False)  # both: the server's must not block
                return copy
    raise AssertionError(f"nobody listens on {address}")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_listening_socket_that_somebody_shuts_down() -> None:
    """It stays readable, and nothing can be accepted. That is told once; connections are
    served, and new ones as soon as it listens again."""
    with serving(Handler()) as server:
        reports: list[str] = []
        server.call(
            server.loop.set_exception_handler,
            lambda _, context: reports.append(f"{context['message']}: {context['exception']}"),
        )
        before = server.connect()
        before.sendall(GET)
        assert before.recv(1000)
        with listening_on(server.address) as sock:
            sock.shutdown(socket.SHUT_RD)
            while not reports:
                before.sendall(GET)
                assert before.recv(1000)
            sock.listen()
            server.address = sock.getsockname()  # another port now
            after = server.connect()
            after.sendall(GET)
            assert after.recv(1000)
        for _ in range(20):
            before.sendall(GET)
            assert before.recv(1000)
        assert len(reports) == 1
        assert "no longer listens" in reports[0]


# ---- Memory --------------------------------------------------------------------------------


@measures_memory
def test_an_idle_connection_costs_little(tmp_path: Path) -> None:
    """At most 4 KiB for each, after it has been used."""
    count = 400
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    big = b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: " + b"y" * 6000 + b"\r\n\r\n"
    with serving(Handler()) as server:
        socks: list[socket.socket] = []

        def use(number: int) -> None:
            for _ in range(number):
                socks.append(server.connect())
                socks[-1].sendall(big)
                assert socks[-1].recv(1000)

        try:
            use(count)  # whatever grows only once has grown now
            before = resident()
            use(count)
            assert (resident() - before) / count <= 4096
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_requests_and_connections_are_given_back() -> None:
    """Every request that was told ends with app_clear, whatever became of it."""
    handler = Handler()
    with serving(handler) as server:
        for _ in range(20):
            server.send(GET * 5, eof=True)
            server.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nx", eof=True)
            server.send(GET + b"BAD", eof=True)
    told = sum(event[0] == "head" for event in handler.events)
    assert told == 20 * 7
    assert sum(event[0] == "cleared" for event in handler.events) == told
