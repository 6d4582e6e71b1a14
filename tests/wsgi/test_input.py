"""wsgi.input: the body as a file, while it arrives."""

from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import Notes
from support.responses import Response
from support.wsgi import TEXT, errors

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from conftest import Serve

HIGH = 64 * 1024  # bytes of a body that are there before the app is called


def reading(function: Callable[[Any], bytes]) -> Any:
    """An app that answers with what `function(wsgi.input)` returns."""

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        content = function(environ["wsgi.input"])
        start_response("200 OK", [TEXT])
        return [content]

    return app


CONTENT = b"".join(b"%d\n" % number * (number % 7) for number in range(3000)) + b"no end"
CALLS: list[Callable[[Any], Any]] = [
    lambda f: f.read(),
    lambda f: f.read(None),
    lambda f: f.read(-1),
    lambda f: [f.read(0), f.read(1), f.read(100_000), f.read(5)],
    lambda f: list(iter(lambda: f.read(777), b"")),
    lambda f: list(iter(f.readline, b"")),
    lambda f: list(iter(lambda: f.readline(3), b"")),
    lambda f: [f.readline(0), f.readline(-1), f.readline(None), f.readline(10**10)],
    lambda f: f.readlines(),
    lambda f: f.readlines(None),
    lambda f: [f.readlines(0)],
    lambda f: [f.readlines(100), f.readlines(1), f.read()],
    lambda f: list(f),
    lambda f: [next(f, 1), next(f, 2), f.read(10), list(f), f.read(), next(f, 3)],
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("content", [b"", b"x", b"\n\n", CONTENT, CONTENT * 30])
@pytest.mark.parametrize("chunked", [False, True])
def test_it_reads_as_a_file_does(
    serve: Serve, call: Callable[[Any], Any], content: bytes, chunked: bool
) -> None:
    wanted = repr(call(io.BytesIO(content))).encode()
    served = serve(reading(lambda file: repr(call(file)).encode()))
    third = len(content) // 3
    sent: Any = iter([content[:third], content[third:]]) if chunked else content
    assert served.client.post("/", content=sent).content == wanted


@pytest.mark.parametrize("name", ["read", "readline", "readlines"])
def test_wrong_arguments(serve: Serve, name: str) -> None:
    def call(file: Any) -> bytes:
        method = getattr(file, name)
        with pytest.raises(TypeError, match=rf"{name}\(\) takes at most one argument, not 2"):
            method(1, 2)
        with pytest.raises(TypeError):
            method("1")
        with pytest.raises(OverflowError):
            method(10**30)
        return b"well"

    assert serve(reading(call)).client.post("/", content=b"body").text == "well"


def test_a_small_body_is_complete_before_the_app_is_called(serve: Serve) -> None:
    called = threading.Event()

    def call(file: Any) -> bytes:
        called.set()
        return bytes(file.read())

    served = serve(reading(call))
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n12345")
        assert served.client.post("/", content=b"other").text == "other"
        called.clear()
        sock.sendall(b"67890")
        assert called.wait(30)
        assert sock.recv(1000).endswith(b"1234567890")


def test_reading_waits_for_the_client(serve: Serve) -> None:
    notes = Notes()

    def call(file: Any) -> bytes:
        start = file.read(HIGH)
        notes.add(len(start))
        line = file.readline()
        notes.add(line)
        return bytes(file.read())

    with serve(reading(call)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        sock.sendall(b"%x\r\n" % HIGH + b"x" * HIGH + b"\r\n")
        assert notes.next() == HIGH
        sock.sendall(b"3\r\nabc\r\n")
        sock.sendall(b"3\r\nd\ne\r\n")
        assert notes.next() == b"abcd\n"
        sock.sendall(b"1\r\nf\r\n0\r\n\r\n")
        assert sock.recv(1000).endswith(b"ef")


def send_what_goes(sock: socket.socket, piece: memoryview, most: int) -> int:
    """Sends until the peer's and our own buffers are full, or `most` bytes; how many."""
    sent = 0
    while sent < most:
        try:
            sent += sock.send(piece)
        except BlockingIOError:
            break
    return sent


def test_a_body_that_nobody_reads_stays_with_the_client(serve: Serve) -> None:
    go = threading.Event()

    def call(file: Any) -> bytes:
        assert go.wait(30)
        return b"%d" % len(file.read())

    size = 64 * 1024 * 1024
    served = serve(reading(call), limits={"body": 2 * size})
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % size)
        sock.setblocking(False)
        piece = memoryview(b"x" * (1024 * 1024))
        sent = send_what_goes(sock, piece, size)
        assert sent < size // 2
        go.set()
        sock.settimeout(30)
        while sent < size:
            sent += sock.send(piece[: size - sent])
        assert sock.recv(1000).endswith(b"%d" % size)


def test_continue_is_sent_at_the_first_read(serve: Serve) -> None:
    notes, go = Notes(), threading.Event()

    def call(file: Any) -> bytes:
        notes.add("called")
        assert go.wait(30)
        return bytes(file.read())

    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    with serve(reading(call)).connect() as sock:
        sock.sendall(head)
        assert notes.next() == "called"
        go.set()
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert sock.recv(1000).endswith(b"hello")


def test_without_a_read_the_body_is_not_asked_for(serve: Serve) -> None:
    served = serve(reading(lambda file: b"no, thanks"))
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n"
    answer, _ = Response.parse(served.exchange(head))
    assert (answer.status, answer.body, answer["connection"]) == (200, b"no, thanks", "close")


@pytest.mark.parametrize("size", [0, 10, HIGH + 10])
def test_a_client_that_goes_away(serve: Serve, caplog: pytest.LogCaptureFixture, size: int) -> None:
    notes = Notes()

    def call(file: Any) -> bytes:
        notes.add("called")
        try:
            return bytes(file.read())
        except OSError as exc:
            notes.add(str(exc))
            raise

    served = serve(reading(call))
    with served.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        sock.sendall(b"x" * size)
        if size > HIGH:
            assert notes.next() == "called"
    if size > HIGH:
        assert notes.next() == "the client has gone away"
    served.finish()
    assert notes.empty()
    assert errors(caplog) == ""


def test_a_malformed_body_ends_the_read(serve: Serve) -> None:
    notes = Notes()

    def call(file: Any) -> bytes:
        notes.add("called")
        with pytest.raises(ConnectionResetError):
            file.read()
        notes.add("raised")
        return b""

    with serve(reading(call)).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        sock.sendall(b"%x\r\n" % HIGH + b"x" * HIGH + b"\r\n")
        assert notes.next() == "called"
        sock.sendall(b"nonsense\r\n")
        assert notes.next() == "raised"
        assert sock.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_the_rest_is_dropped_after_the_answer(serve: Serve) -> None:
    notes = Notes()

    class Late:
        def __init__(self, file: Any) -> None:
            self.file = file

        def __iter__(self) -> Any:
            return iter([b"early"])

        def close(self) -> None:
            try:
                while self.file.read(1000):
                    pass
            except ConnectionResetError as exc:
                notes.add(str(exc))

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [TEXT, ("Content-Length", "5")])
        return Late(environ["wsgi.input"])

    with serve(app).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n")
        sock.sendall(b"x" * (HIGH + 1))
        assert sock.recv(1000).endswith(b"early")
        message = notes.next()
    assert message in (
        "the rest of the body was dropped, since the response is complete",
        "the client has gone away",
    )


def test_two_threads_that_wait(serve: Serve) -> None:
    notes = Notes()

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        file = environ["wsgi.input"]
        file.read(HIGH)

        def read() -> None:
            try:
                notes.add(file.read(1))
            except RuntimeError as exc:
                notes.add(str(exc))

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        start_response("200 OK", [TEXT])
        return [b"x"]

    with serve(app).connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % (HIGH + 1))
        sock.sendall(b"x" * HIGH)
        assert notes.next() == "another thread waits for this request"
        sock.sendall(b"y")
        assert notes.next() == b"y"
        assert sock.recv(1000).endswith(b"x")
